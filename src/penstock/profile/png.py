"""A profile as a PNG picture, drawn by matplotlib."""

from io import BytesIO
from typing import TYPE_CHECKING

from penstock.profile.bars import category_bars, category_order, drift_line, is_alarm, number, numeric_bars
from penstock.profile.compare import compare_profiles, select
from penstock.profile.errors import ProfileError
from penstock.profile.profile import FeatureProfile, Profile
from penstock.profile.terminal import printable
from penstock.stats.columns import FeatureType
from penstock.stats.grid import NumericGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 120
_CATEGORIES = 12
_COLUMNS = 3
_MAX_PICTURES = 120
_COLORS = ("#5b8def", "#f08c3a")


def picture(profile: Profile, other: Profile | None = None, *, feature: str | None = None) -> bytes:
    """The picture's bytes.

    Raises `ProfileError` if matplotlib is missing, if there is no such feature, if there are too many for one picture,
    or if the two cannot be compared.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - needed by nothing else
    except ImportError:
        raise ProfileError("Pictures need matplotlib: pip install 'penstock[plot]'.") from None
    features = select(profile, feature)
    if not 1 <= len(features) <= _MAX_PICTURES:
        raise ProfileError(f"One picture shows 1 to {_MAX_PICTURES} features, not {len(features)}: choose one.")
    drifts = {} if other is None else {drift.feature: drift for drift in compare_profiles(profile, other)}
    columns = min(_COLUMNS, len(features))
    rows = -(-len(features) // columns)
    figure = Figure(figsize=(5.0 * columns, 3.0 * rows), layout="constrained")
    charts = figure.subplots(rows, columns, squeeze=False).ravel()
    for chart, one in zip(charts, features, strict=False):
        second = None if other is None else other.by_name.get(one.name)
        _draw(chart, [one] if second is None else [one, second])
        drift = drifts.get(one.name)
        title = one.name if drift is None else f"{one.name}\n{', '.join(drift_line(drift).split(', ')[:2])}"
        color = "#b3261e" if drift is not None and is_alarm(drift) else "#1c2430"
        chart.set_title(printable(title.replace("\n", " – ")), fontsize=9, color=color, parse_math=False, wrap=True)
        chart.set_ylabel("share", fontsize=8)
        chart.tick_params(labelsize=7)
    for chart in charts[len(features) :]:
        chart.set_axis_off()
    content = BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()


def _draw(chart: "Axes", pair: list[FeatureProfile]) -> None:
    numeric = isinstance(pair[0].grid, NumericGrid)
    order = [] if numeric else category_order(pair[0], _CATEGORIES)
    for position, feature in enumerate(pair):
        color, alpha = _COLORS[position], 1.0 if position == 0 else 0.55
        if numeric:
            bars = numeric_bars(feature, _BARS)
            width = (bars.high - bars.low) / len(bars.shares)
            places = [bars.low + width * (index + 0.5) for index in range(len(bars.shares))]
            chart.bar(places, bars.shares, width, color=color, alpha=alpha)
            if feature.type == FeatureType.TIMESTAMP:
                chart.set_xticks([bars.low, bars.high], [number(end, feature.type) for end in (bars.low, bars.high)])
        else:
            bars = category_bars(feature, order)
            width = 0.8 / len(pair)
            places = [index + width * position for index in range(len(bars.shares))]
            chart.bar(places, bars.shares, width, color=color, alpha=alpha)
            chart.set_xticks(range(len(bars.labels)), [printable(label)[:16] for label in bars.labels], rotation=60)
            for text in chart.get_xticklabels():
                text.set_parse_math(False)
