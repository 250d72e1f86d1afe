"""The shell around a shadow: the Job that compares, and what it says."""
