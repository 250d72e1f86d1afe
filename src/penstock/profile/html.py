"""A profile as one HTML page without scripts or anything from elsewhere."""

from html import escape

from penstock.profile.bars import (
    Bars,
    category_bars,
    category_order,
    drift_line,
    is_alarm,
    number,
    numeric_bars,
    share,
    summary,
)
from penstock.profile.compare import compare_profiles, select
from penstock.profile.profile import FeatureProfile, Profile
from penstock.stats.grid import NumericGrid

_BARS = 120
_CATEGORIES = 24
_WIDTH, _HEIGHT = 480, 120
_ROW = 22

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.4rem}section{border-top:1px solid #d9dee5;padding:.8rem 0}h2{font-size:1.05rem;margin:.2rem 0}
p{margin:.2rem 0;color:#4a5565}.alarm{color:#b3261e;font-weight:600}svg{max-width:100%;height:auto}
.was{fill:#5b8def}.now{fill:#f08c3a;fill-opacity:.55}text{font:12px system-ui,sans-serif;fill:#4a5565}
@media(prefers-color-scheme:dark){body{background:#14181f;color:#e6eaf0}p{color:#a9b3c1}text{fill:#a9b3c1}
section{border-color:#2c3440}.alarm{color:#ff8a80}}
"""


def page(profile: Profile, other: Profile | None = None, *, feature: str | None = None) -> str:
    """The page as text; raises `ProfileError` if there is no such feature or the two cannot be compared."""
    drifts = {} if other is None else {drift.feature: drift for drift in compare_profiles(profile, other)}
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">",
        f"<title>Profile</title><style>{_STYLE}</style></head><body><h1>Profile</h1>",
        f"<p>{profile.rows:,} rows, {len(profile.features)} features, made {escape(profile.created_at or '–')}</p>",
        f"<p>dataset {escape(profile.dataset_digest or '–')}<br>schema {escape(profile.schema_digest or '–')}</p>",
    ]
    if other is not None:
        alarms = sum(is_alarm(drift) for drift in drifts.values())
        parts.append(
            f"<p>Blue; compared with (orange) {other.rows:,} rows made {escape(other.created_at or '–')}: "
            f"{alarms} features drifted.</p>"
        )
    for one in select(profile, feature):
        second = None if other is None else other.by_name.get(one.name)
        parts.append(f"<section><h2>{escape(one.name)} <small>{one.type}</small></h2><p>{escape(summary(one))}</p>")
        if second is not None:
            drift = drifts[one.name]
            mark = ' class="alarm"' if is_alarm(drift) else ""
            parts.append(f"<p>now: {escape(summary(second))}</p><p{mark}>{escape(drift_line(drift))}</p>")
        parts.append(_chart(one, second) + "</section>")
    return "\n".join([*parts, "</body></html>\n"])


def _chart(one: FeatureProfile, second: FeatureProfile | None) -> str:
    pair = [feature for feature in (one, second) if feature is not None]
    if isinstance(one.grid, NumericGrid):
        return _numeric_chart(one, [numeric_bars(feature, _BARS) for feature in pair])
    order = category_order(one, _CATEGORIES)
    return _category_chart(one.name, [category_bars(feature, order) for feature in pair])


def _numeric_chart(one: FeatureProfile, pair: list[Bars]) -> str:
    highest = max(max(bars.shares) for bars in pair) or 1.0
    step = _WIDTH / len(pair[0].shares)
    shapes = []
    for bars, style in zip(pair, ("was", "now"), strict=False):
        heights = [_HEIGHT * part / highest for part in bars.shares]
        path = "".join(f"L{step * i:.1f} {_HEIGHT - h:.1f}h{step:.2f}" for i, h in enumerate(heights))
        shapes.append(f'<path class="{style}" d="M0 {_HEIGHT}{path}V{_HEIGHT}Z"/>')
    outside = " → ".join(f"below {share(bars.below)}, above {share(bars.above)}" for bars in pair)
    labels = (
        f'<text x="0" y="{_HEIGHT + 16}">{escape(number(pair[0].low, one.type))}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 16}" text-anchor="end">{escape(number(pair[0].high, one.type))}</text>'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT + 16}" text-anchor="middle">{escape(outside)}</text>'
    )
    return _svg(one.name, _WIDTH, _HEIGHT + 22, "".join(shapes) + labels)


def _category_chart(name: str, pair: list[Bars]) -> str:
    longest = max(max(bars.shares) for bars in pair) or 1.0
    shapes = []
    for index, label in enumerate(pair[0].labels):
        y = index * _ROW
        shapes.append(f'<text x="150" y="{y + 15}" text-anchor="end">{escape(_short(label))}</text>')
        height = (_ROW - 4) / len(pair)
        for position, (bars, style) in enumerate(zip(pair, ("was", "now"), strict=False)):
            length = (_WIDTH - 160) * bars.shares[index] / longest
            shapes.append(
                f'<rect class="{style}" x="158" y="{y + 2 + position * height:.1f}" width="{length:.1f}" '
                f'height="{height:.1f}"><title>{escape(label)}: {share(bars.shares[index])}</title></rect>'
            )
    return _svg(name, _WIDTH, len(pair[0].labels) * _ROW, "".join(shapes))


def _short(label: str) -> str:
    return label if len(label) <= 20 else label[:19] + "…"


def _svg(name: str, width: int, height: int, content: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(name)}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{content}</svg>'
    )
