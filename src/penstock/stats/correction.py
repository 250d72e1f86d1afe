"""Corrections of p-values for looking at many features at once."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of *any* false alarm below the level (Holm 1979, Scand. J. Stat. 6).

    In ascending order p_(i) · (k - i + 1), made monotone, at most 1; returned in the order given.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (len(order) - rank)))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the *share* of false alarms among all alarms below the level.

    Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57: in descending order p_(i) · k / i, made monotone, at most 1;
    returned in the order given.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index], reverse=True)
    adjusted = [0.0] * len(p_values)
    smallest = 1.0
    for behind, index in enumerate(order):
        smallest = min(smallest, p_values[index] * len(order) / (len(order) - behind))
        adjusted[index] = smallest
    return adjusted
