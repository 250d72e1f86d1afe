"""Containers that look at data on behalf of the operator; none of them talks to the API server."""
