"""What a model is worth on rows with known outcomes: metrics, their intervals, and differences of two models.

Formulas and their sources: docs/evaluation-statistics.md. Numbers only; whether they are good enough is decided in
`domain`.
"""
