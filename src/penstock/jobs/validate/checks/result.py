"""What one check says."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from penstock.api.v1alpha1.featuresetstatus import SHOWN_KEYS, FailedCheck

_MAX_KEY_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: `count` rows are wrong, `value` was measured, `threshold` would have been right."""

    check: str
    passed: bool
    feature: str | None = None
    count: int | None = None
    value: str | None = None
    threshold: str | None = None
    keys: tuple[str, ...] = ()

    def failed_check(self) -> FailedCheck:
        """The form in which a failed check stands in the status."""
        return FailedCheck(
            check=self.check,
            feature=self.feature,
            count=self.count,
            value=self.value,
            threshold=self.threshold,
            keys=list(self.keys),
        )

    def as_json(self) -> dict[str, Any]:
        """The form in which it stands in the report; what is not known is left out."""
        content = {
            "check": self.check,
            "passed": self.passed,
            "feature": self.feature,
            "count": self.count,
            "value": self.value,
            "threshold": self.threshold,
            "keys": list(self.keys) or None,
        }
        return {key: value for key, value in content.items() if value is not None}


def share(part: int, whole: int) -> str:
    """A share as text, with at most six digits; "0" of nothing."""
    return number(part / whole) if whole else "0"


def number(value: float) -> str:
    """A number as text, with at most six digits."""
    return f"{value:.6g}"


def within(part: int, whole: int, allowed: Decimal) -> bool:
    """Whether `part` is at most the share `allowed` of `whole`; exact."""
    return Decimal(part) <= allowed * whole


def shown_key(parts: tuple[Any, ...]) -> str:
    """An entity key as text: its parts joined by commas, control characters escaped, at most 256 characters."""
    text = ",".join("" if part is None else str(part) for part in parts)
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= _MAX_KEY_CHARACTERS else text[: _MAX_KEY_CHARACTERS - 1] + "…"


def first_keys(keys: tuple[str, ...], more: list[str]) -> tuple[str, ...]:
    """At most five keys, those that came first."""
    return (*keys, *more)[:SHOWN_KEYS]
