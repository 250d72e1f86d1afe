"""Whether a freeze is on: times in which no revision gets more traffic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from penstock.api.v1alpha1.rollout import Freeze

# Of a schedule that fires every minute only so many begins are looked at: the last one tells.
_MOST_BEGINS = 100_000


def end_of_freeze(freezes: Sequence[Freeze], now: datetime) -> datetime | None:
    """Return when the freeze that is on at `now` ends (the latest, of several), or None if none is on.

    A schedule or time zone that cannot be read freezes: it was meant to, and nobody can say when not.
    """
    ends = [end for freeze in freezes if (end := _end(freeze, now)) is not None]
    return max(ends, default=None)


def sentence(freezes: Sequence[Freeze], now: datetime) -> str:
    """Say why no revision gets more traffic now; empty if it may."""
    end = end_of_freeze(freezes, now)
    if end is None:
        return ""
    if end == datetime.max.replace(tzinfo=UTC):
        return "a schedule or time zone in spec.rollout.freeze cannot be read; correct it"
    return f"a freeze of spec.rollout.freeze is on until {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def next_begin(freezes: Sequence[Freeze], now: datetime) -> datetime | None:
    """Return when the next freeze begins, or None if none is known."""
    begins = []
    for freeze in freezes:
        try:
            begins.append(next(CronSim(freeze.schedule, now.astimezone(ZoneInfo(freeze.time_zone)))))
        except (CronSimError, ZoneInfoNotFoundError, ValueError, StopIteration):
            continue
    return min(begins, default=None)


def _end(freeze: Freeze, now: datetime) -> datetime | None:
    lasts = timedelta(seconds=freeze.duration_seconds)
    try:
        zone = ZoneInfo(freeze.time_zone)
        begins = CronSim(freeze.schedule, (now - lasts - timedelta(seconds=1)).astimezone(zone))
        latest = None
        for _, begin in zip(range(_MOST_BEGINS), begins, strict=False):
            if begin > now:
                break
            latest = begin
    except (CronSimError, ZoneInfoNotFoundError, ValueError):
        return datetime.max.replace(tzinfo=UTC)
    return latest + lasts if latest is not None and latest + lasts > now else None
