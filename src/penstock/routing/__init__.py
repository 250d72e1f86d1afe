"""Routers: how weights between revisions reach the data plane. One file per backend."""
