"""Draws profiles in a terminal."""

import unicodedata
from collections.abc import Iterator, Sequence

from penstock.profile.bars import Bars, category_bars, category_order, drift_line, number, numeric_bars, share, summary
from penstock.profile.compare import compare_profiles, select
from penstock.profile.profile import FeatureProfile, Profile
from penstock.stats.grid import NumericGrid

_BLOCKS = "▁▂▃▄▅▆▇█"
_PARTS = "▏▎▍▌▋▊▉█"
_NARROWEST = 40
_WIDEST_CHART = 100
_CATEGORIES = 12


def draw(profile: Profile, other: Profile | None = None, *, feature: str | None = None, width: int = 80) -> str:
    """The profile as text at most `width` columns wide (never below 40), with `other` beside it if given.

    Raises `ProfileError` if there is no such feature or the two cannot be compared.
    """
    width = max(width, _NARROWEST)
    drifts = {} if other is None else {drift.feature: drift for drift in compare_profiles(profile, other)}
    lines = [f"{profile.rows:,} rows, {len(profile.features)} features, made {profile.created_at or '–'}"]
    if other is not None:
        alarms = sum(drift.drifted is True for drift in drifts.values())
        lines.append(f"compared with {other.rows:,} rows made {other.created_at or '–'}: {alarms} features drifted")
    for one in select(profile, feature):
        second = None if other is None else other.by_name.get(one.name)
        lines += ["", f"{one.name}  ({one.type})", f"  {summary(one)}"]
        if second is not None:
            lines += [f"  now: {summary(second)}", f"  {drift_line(drifts[one.name])}"]
        lines += _chart(one, second, min(width, _WIDEST_CHART))
    return "\n".join(part for line in lines for part in _wrapped(printable(line), width)) + "\n"


def printable(text: str) -> str:
    """The text without what a terminal would obey: control and format characters become "�"."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _chart(one: FeatureProfile, second: FeatureProfile | None, width: int) -> Iterator[str]:
    if isinstance(one.grid, NumericGrid):
        yield from _numeric_chart(one, second, width)
        return
    order = category_order(one, _CATEGORIES)
    bars = [category_bars(feature, order) for feature in (one, second) if feature is not None]
    longest = max(share for bar in bars for share in bar.shares) or 1.0
    names = min(max(_columns(printable(label)) for label in bars[0].labels), width // 3)
    space = width - names - 13
    for index, label in enumerate(bars[0].labels):
        for position, bar in enumerate(bars):
            shown = _fitted(printable(label), names) if position == 0 else " " * names
            filled = _bar(bar.shares[index] / longest, space)
            yield f"  {shown} {share(bar.shares[index]):>8} {filled}"


def _numeric_chart(one: FeatureProfile, second: FeatureProfile | None, width: int) -> Iterator[str]:
    space = width - (7 if second is not None else 2)
    bars = [numeric_bars(feature, space) for feature in (one, second) if feature is not None]
    titles = ("  was  ", "  now  ") if len(bars) > 1 else ("  ",)
    repeat = max(1, space // len(bars[0].shares))
    for title, bar in zip(titles, bars, strict=True):
        yield title + "".join(block * repeat for block in _blocks(bar))
    low, high = number(bars[0].low, one.type), number(bars[0].high, one.type)
    yield " " * len(titles[0]) + low + " " + high.rjust(repeat * len(bars[0].shares) - len(low) - 1)
    outside = [f"below {share(bar.below)}, above {share(bar.above)}" for bar in bars if bar.below or bar.above]
    if outside:
        yield "  outside: " + " → ".join(outside)


def _blocks(bars: Bars) -> str:
    highest = max(bars.shares) or 1.0
    return "".join(_BLOCKS[min(7, int(8 * part / highest))] if part else " " for part in bars.shares)


def _bar(part: float, space: int) -> str:
    eighths = round(part * space * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_PARTS[rest - 1] if rest else "" if whole or not part else _PARTS[0])


def _columns(text: str) -> int:
    return sum(_column(character) for character in text)


def _column(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fitted(text: str, columns: int) -> str:
    if _columns(text) <= columns:
        return text + " " * (columns - _columns(text))
    kept = ""
    for character in text:
        if _columns(kept) + _column(character) > columns - 1:
            break
        kept += character
    return kept + "…" + " " * (columns - 1 - _columns(kept))


def _wrapped(line: str, width: int) -> Sequence[str]:
    if _columns(line) <= width:
        return [line.rstrip()]
    parts, current = [], ""
    for word in line.split(" "):
        joined = f"{current} {word}" if current.strip() else f"{current}{word or ' '}"
        if _columns(joined) > width and current.strip():
            parts.append(current)
            joined = f"    {word}"
        current = joined
    return [_fitted(part, width).rstrip() for part in [*parts, current]]
