"""Profiles: what a dataset's features look like, in a small file that windows of data are compared with."""
