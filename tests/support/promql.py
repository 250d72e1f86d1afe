"""Queries as people write them, as they get them wrong, and as somebody writes them who wants to read more."""

from hypothesis import strategies as st

OWN = 'revision="$revision"'

NASTY = [
    'queue{revision="$revision"} or queue{namespace="railway"}',
    'max(queue{revision="$revision"}) or orders_total{namespace="railway"}',
    'queue{revision="$revision",namespace="railway"}',
    'queue{revision="$revision",namespace=~".*"}',
    'queue{revision="$revision",namespace!="airline"}',
    'queue{namespace="$revision"}',
    'queue{revision="$revision"}[5m]',
    'queue{revision="$revision"} offset 5m',
    'queue{revision="$revision"} @ 0',
    '{__name__="orders_total",revision="$revision"}',
    '{__name__=~".+",revision="$revision"}',
    'queue{__name__="orders_total",revision="$revision"}',
    '{"orders_total",revision="$revision"}',
    'queue{revision="$revision","namespace"="railway"}',
    'queue{revision="$revision",\'namespace\'="railway"}',
    'queue{revision="$revision"} # } or orders_total{namespace="railway"}',
    'queue{revision="$revision"}\n#\nor orders_total',
    'queue{revision="$revision",a="\\"} or orders_total{b=\\""}',
    'queue{revision="$revision",a="x\\\\"} or orders_total{b="\\\\"}',
    'queue{revision="$revision",a=\'"} or orders_total{namespace="railway"} or x{b="\'}',
    'queue{revision="$revision",a=`"} or orders_total{namespace="railway"} or x{b="`}',
    'queue{revision="$revision",a=~".*"} or vector(9999)',
    'max(queue{revision="$revision"}) + on() group_left sum(orders_total)',
    'max by (namespace) (queue{revision="$revision"})',
    'max(queue{revision="$revision"}) by (namespace)',
    'label_replace(orders_total, "namespace", "airline", "", "")',
    'absent(queue{revision="$revision"})',
    'sum(sum(queue{revision="$revision"}))',
    'sum(queue{revision="$revision"}, orders_total)',
    'topk(1, queue{revision="$revision"})',
    'quantile(0.5, queue{revision="$revision"})',
    'queue{revision="$revision|.*"}',
    'queue{revision=~"$revision|.*"}',
    'queue{revision="$revision",a="$revision"}',
    'queue{revision!="$revision"}',
    "queue",
    "queue{}",
    "",
    " ",
    "queue{revision=$revision}",
    'queue{revision="$revision"',
    'queue{revision="$revision"}}',
    'queue{revision="$revision",,}',
    'queue{revision="$revision"}\x00',
    'queue{revision="$revision",a="\x00"}',
    'queue{revision="$revision",a="\u2028"}',
    'quéue{revision="$revision"}',
    'queue{revisıon="$revision"}',
    'queue\u00a0{revision="$revision"}',
    'queue{revision="$revision",a="\\x22} or orders_total{b=\\x22"}',
    'queue{revision="$revision",a="\\u0022"}',
    'queue{revision="$revision",a="' + "x" * 2000 + '"}',
    "queue{" + ",".join([OWN] * 2) + "}",
    'nan{revision="$revision"}',
    'sum{revision="$revision"}',
    '9queue{revision="$revision"}',
    'queue:rate{revision="$revision",a:b="x"}',
]
"""Each is refused, or reads series of its own namespace only."""

_PIECES = st.sampled_from(
    [
        *"{}(),=\"'`\\ \n#[]",
        "=~",
        "!=",
        "!~",
        OWN,
        '"$revision"',
        "revision",
        "namespace",
        "__name__",
        "queue",
        "sum",
        "or",
        "offset",
        "by",
        '"railway"',
        '".*"',
        "\\x22",
        "\u2028",
    ]
)
_VALUES = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def _well_formed(draw: st.DrawFn) -> str:
    quote = draw(st.sampled_from("\"'`"))
    value = draw(_VALUES)
    if quote != "`":
        value = value.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n").replace("\t", "\\t")
    label = draw(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True))
    operator = draw(st.sampled_from(["=", "!=", "=~", "!~"]))
    matchers = draw(st.permutations([OWN, f"{label}{operator}{quote}{value}{quote}"]))
    metric = draw(st.from_regex(r"[A-Za-z_:][A-Za-z0-9_:]{0,8}", fullmatch=True))
    selector = f"{metric}{{{','.join(matchers)}}}"
    return f"{draw(st.sampled_from(['sum', 'max']))}({selector})" if draw(st.booleans()) else selector


def queries() -> st.SearchStrategy[str]:
    """Queries of all sorts: well formed with any strings in them, pieces in any order, and known tricks."""
    pieces = st.lists(_PIECES, max_size=14).map("".join)
    spliced = st.tuples(_well_formed(), pieces).map("".join)
    return st.one_of(_well_formed(), pieces, spliced, st.sampled_from(NASTY))
