"""The part of PromQL that a Model may use."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.metrics import promql
from penstock.metrics.problems import Problem, SourceUnavailable
from penstock.metrics.promql import Aggregate, Matcher, Query
from tests.support.promql import NASTY, queries

REVISIONS = ("0123456789ab", "ba9876543210")


def written(text: str, namespace: str = "airline") -> str:
    query = promql.parse(text, "namespace")
    return promql.selector(query, tenant_label="namespace", namespace=namespace, revisions=REVISIONS)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ('m{revision="$revision"}', Query("m", (), "revision")),
        (" m { rev = '$revision' , } ", Query("m", (), "rev")),
        ("a:b{r=`$revision`}", Query("a:b", (), "r")),
        ('sum( m{revision="$revision"} )', Query("m", (), "revision", Aggregate.SUM)),
        (
            'm{a!="x", revision="$revision", b=~"5..|\\\\d", c!~\'it\\\'s\'}',
            Query(
                "m", (Matcher("a", "!=", "x"), Matcher("b", "=~", "5..|\\d"), Matcher("c", "!~", "it's")), "revision"
            ),
        ),
        ('m{revision="$revision",a=`"\\`}', Query("m", (Matcher("a", "=", '"\\'),), "revision")),
    ],
)
def test_it_reads(text: str, query: Query) -> None:
    assert promql.parse(text, "namespace") == query


def test_it_writes() -> None:
    assert written('max(m{revision="$revision",a=~"x\\"y\\\\.z"})') == (
        'm{namespace="airline",revision=~"0123456789ab|ba9876543210",a=~"x\\"y\\\\.z"}'
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("m", "exactly one matcher"),
        ('m{revision="0123456789ab"}', "exactly one matcher"),
        ('m{revision=~"$revision"}', "exactly one matcher"),
        ('m{a="$revision",b="$revision"}', "exactly one matcher"),
        ('m{revision="$revision",namespace="railway"}', "sees its own namespace only"),
        ('m{namespace="$revision"}', "sees its own namespace only"),
        ('m{revision="$revision",__name__="up"}', "not in a matcher of __name__"),
        ('{revision="$revision"}', "begins with the name of a metric"),
        ('rate(m{revision="$revision"})', r"rate\(\) is not allowed"),
        ("sum(1)", "not allowed: a query is"),
        ('sum({revision="$revision"})', "an aggregation is of one metric"),
        ('m{revision="$revision"}[5m]', "not allowed: a query is"),
        ('m{revision="$revision"} or up', "not allowed here"),
        ('m{revision="$revision"', "is missing"),
        ("m{revision}", "followed by ="),
        ("m{revision=x}", "stands in quotes"),
        ('m{a:b="x"}', "no name of a label"),
        ('m{revision="$revision",a="\u2028"}', "cannot be printed"),
        ('m{revision="$revision",a="\\x22"}', "not allowed"),
        ("m" * 1025, "at most 1024 characters"),
    ],
)
def test_what_it_refuses_it_explains(text: str, sentence: str) -> None:
    with pytest.raises(SourceUnavailable, match=sentence) as refused:
        promql.parse(text, "namespace")
    assert refused.value.reason is Problem.BAD_QUERY


def test_another_tenant_label() -> None:
    query = promql.parse('m{r="$revision",namespace="x"}', "team")
    text = promql.selector(query, tenant_label="team", namespace="airline", revisions=REVISIONS[:1])
    assert text == 'm{team="airline",r=~"0123456789ab",namespace="x"}'
    with pytest.raises(SourceUnavailable, match="label team is set"):
        promql.parse('m{r="$revision",team="x"}', "team")


@pytest.mark.parametrize(
    ("namespace", "revisions"),
    [
        ("", REVISIONS),
        ('a"}', REVISIONS),
        ("A", REVISIONS),
        ("a\n", REVISIONS),
        ("a", ()),
        ("a", (".*",)),
        ("a", ("",)),
    ],
)
def test_names_that_cannot_be(namespace: str, revisions: tuple[str, ...]) -> None:
    query = promql.parse('m{r="$revision"}', "namespace")
    with pytest.raises(ValueError, match="not a namespace and revisions"):
        promql.selector(query, tenant_label="namespace", namespace=namespace, revisions=revisions)


_STRING = r'"(?:[^"\\\n]|\\["\\nt])*"'
_WRITTEN = re.compile(
    rf'[A-Za-z_:][A-Za-z0-9_:]*\{{namespace="airline",[A-Za-z_]\w*=~"0123456789ab\|ba9876543210"'
    rf"(?:,[A-Za-z_]\w*(?:=|!=|=~|!~){_STRING})*\}}"
)


@given(text=st.one_of(queries(), st.text(), st.sampled_from(NASTY)))
def test_whatever_comes_in_one_selector_of_the_namespace_goes_out(text: str) -> None:
    try:
        out = written(text)
    except SourceUnavailable as refused:
        assert refused.message  # noqa: PT017 - that there is a sentence is the point
        return
    assert _WRITTEN.fullmatch(out), out
    assert out.count("namespace=") - promql.parse(text, "namespace").matchers.__repr__().count("namespace=") == 1


@given(st.text(st.characters(exclude_categories=("C", "Z")), max_size=20))
def test_a_value_survives(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    if promql.REVISION in value:
        return
    assert promql.parse(f'm{{r="$revision",a="{quoted}"}}', "namespace").matchers == (Matcher("a", "=", value),)
    assert re.fullmatch(promql.escaped(value), value)
