"""The part of PromQL that a Model may use: one selector, which is always held to the Model's own namespace.

A query is read into values, checked, and written anew from them; nothing of its text is passed on. What is not
understood is refused, so that there is no way to write a query that reads another tenant's series.

    query    = selector | aggregate "(" selector ")"
    selector = metric [ "{" [ matcher { "," matcher } [ "," ] ] "}" ]
    matcher  = label ( "=" | "!=" | "=~" | "!~" ) string
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from penstock.metrics.problems import Problem, SourceUnavailable

REVISION = "$revision"
MOST_CHARACTERS = 1024


class Aggregate(StrEnum):
    """What makes one number of several series."""

    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label has to be; `value` without quotes and escapes."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Query:
    """A query: `revision_label` has to be the revision that is asked about, `matchers` are all others."""

    metric: str
    matchers: tuple[Matcher, ...]
    revision_label: str
    aggregate: Aggregate | None = None


_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<operator>=~|!~|!=|=)
      | (?P<mark>[{}(),])
      | "(?P<double>(?:[^"\\\x00-\x1f\x7f]|\\[\\"'nt])*)"
      | '(?P<single>(?:[^'\\\x00-\x1f\x7f]|\\[\\"'nt])*)'
      | `(?P<raw>[^`\x00-\x1f\x7f]*)`
    )""",
    re.VERBOSE,
)
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t"}
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REVISION = re.compile(r"[0-9a-f]{12}")
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")


def parse(text: str, tenant_label: str) -> Query:
    """Return the query. Raises SourceUnavailable with a sentence that says what is not allowed."""
    tokens = _Tokens(text)
    first = tokens.word("a query begins with the name of a metric")
    aggregate = None
    if tokens.accept("("):
        try:
            aggregate = Aggregate(first)
        except ValueError:
            raise _refused(f"{first}() is not allowed; only {', '.join(Aggregate)} are, around one selector") from None
        first = tokens.word("an aggregation is of one metric, such as sum(orders_total{...})")
    matchers = _matchers(tokens)
    if aggregate is not None:
        tokens.expect(")")
    tokens.end()
    return _checked(first, matchers, aggregate, tenant_label)


def selector(query: Query, *, tenant_label: str, namespace: str, revisions: Collection[str]) -> str:
    """Write the selector of a query for these revisions of a namespace."""
    return _written(query.metric, query.matchers, query.revision_label, tenant_label, namespace, revisions)


def presence(query: Query, *, tenant_label: str, namespace: str, revisions: Collection[str]) -> str:
    """Write the selector of the query's metric whatever its other labels say."""
    return _written(query.metric, (), query.revision_label, tenant_label, namespace, revisions)


def literal(text: str) -> str:
    """Write a string of PromQL. Raises SourceUnavailable for control characters other than tab and line feed."""
    if any(char not in "\t\n" and not char.isprintable() for char in text):
        raise _refused("a string has a character that cannot be printed")
    escaped_text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped_text}"'


def escaped(text: str) -> str:
    """Write a text as the regular expression that matches it alone."""
    return _META.sub(lambda found: "\\" + found[0], text)


def _written(
    metric: str,
    matchers: tuple[Matcher, ...],
    revision_label: str,
    tenant_label: str,
    namespace: str,
    revisions: Collection[str],
) -> str:
    if not _NAMESPACE.fullmatch(namespace) or not revisions or not all(map(_REVISION.fullmatch, revisions)):
        raise ValueError(f"not a namespace and revisions: {namespace!r}, {list(revisions)!r}")
    all_matchers = [
        Matcher(tenant_label, "=", namespace),
        Matcher(revision_label, "=~", "|".join(sorted(revisions))),
        *matchers,
    ]
    written = ",".join(f"{matcher.label}{matcher.operator}{literal(matcher.value)}" for matcher in all_matchers)
    return f"{metric}{{{written}}}"


def _matchers(tokens: _Tokens) -> list[Matcher]:
    found: list[Matcher] = []
    if not tokens.accept("{"):
        return found
    while not tokens.accept("}"):
        if found:
            tokens.expect(",")
            if tokens.accept("}"):
                break
        label = tokens.word("a matcher begins with the name of a label")
        if not _LABEL.fullmatch(label):
            raise _refused(f"{label} is no name of a label")
        found.append(Matcher(label, tokens.operator(), tokens.string()))
    return found


def _checked(metric: str, matchers: list[Matcher], aggregate: Aggregate | None, tenant_label: str) -> Query:
    asked = [matcher for matcher in matchers if REVISION in matcher.value]
    if len(asked) != 1 or asked[0].operator != "=" or asked[0].value != REVISION:
        raise _refused(f'a query has exactly one matcher like revision="{REVISION}"')
    for matcher in matchers:
        literal(matcher.value)
        if matcher.label == "__name__":
            raise _refused("the metric stands before the braces, not in a matcher of __name__")
        if matcher.label == tenant_label:
            raise _refused(f"the label {tenant_label} is set by Penstock: a Model sees its own namespace only")
    others = tuple(matcher for matcher in matchers if matcher is not asked[0])
    return Query(metric, others, asked[0].label, aggregate)


def _refused(sentence: str) -> SourceUnavailable:
    return SourceUnavailable(Problem.BAD_QUERY, sentence)


class _Tokens:
    """The words, marks and strings of a query, in order."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST_CHARACTERS:
            raise _refused(f"a query has at most {MOST_CHARACTERS} characters")
        self._rest: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip(" \t\r\n"))
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise _refused(
                    f"{text[at : at + 20]!r} is not allowed: a query is metric{{label=value, ...}},"
                    " also within sum(), avg(), min(), max() or count()"
                )
            self._rest.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self._rest.reverse()

    def accept(self, mark: str) -> bool:
        """Take the mark if it is next."""
        if self._rest and self._rest[-1] == ("mark", mark):
            self._rest.pop()
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            raise _refused(f"{mark!r} is missing")

    def end(self) -> None:
        if self._rest:
            raise _refused(f"{self._rest[-1][1]!r} is not allowed here: a query is one selector")

    def word(self, sentence: str) -> str:
        return self._take("word", sentence)

    def operator(self) -> str:
        return self._take("operator", "a label is followed by =, !=, =~ or !~")

    def string(self) -> str:
        if self._rest and self._rest[-1][0] in ("double", "single"):
            return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), self._rest.pop()[1])
        return self._take("raw", "the value of a matcher stands in quotes")

    def _take(self, kind: str, sentence: str) -> str:
        if not self._rest or self._rest[-1][0] != kind:
            raise _refused(sentence)
        return self._rest.pop()[1]
