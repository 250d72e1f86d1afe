"""The checks: what is counted in every batch, and what the counts say in the end."""
