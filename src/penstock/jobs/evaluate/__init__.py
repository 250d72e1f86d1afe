"""The evaluation Job: asks a revision about held-out rows and reports numbers; `domain` decides what they mean."""
