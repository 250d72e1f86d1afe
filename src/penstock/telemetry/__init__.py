"""The operator's own health and metrics."""
