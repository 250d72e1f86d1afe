"""What a canary compares between the stable revision and the candidate."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.fields import Decimal, Fraction, ObjectName, cel, explained


class AnalysisType(StrEnum):
    """What is compared and how."""

    ERRORS = "Errors"
    LATENCY = "Latency"
    PROPORTION = "Proportion"
    MEAN = "Mean"
    GUARDRAIL = "Guardrail"


class Better(StrEnum):
    """Which way a metric is better."""

    LOWER = "Lower"
    HIGHER = "Higher"


class MetricSourceRef(ApiType):
    """A MetricSource that admits the Model's namespace."""

    name: ObjectName
    """The name of the MetricSource."""


Query = Annotated[str, Field(min_length=1, max_length=1024)]
_OWN = "self.type in ['Proportion', 'Mean', 'Guardrail']"


class Analysis(ApiType):
    """One comparison of the candidate with the stable revision."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                f"({_OWN}) == has(self.metricSourceRef)",
                "metricSourceRef is for the types Proportion, Mean and Guardrail, which need it",
            ),
            (
                "(self.type == 'Proportion') == (has(self.events) && has(self.total))",
                "type: Proportion needs the queries events and total, which are for it alone",
            ),
            (
                "(self.type == 'Mean') == (has(self.sum) && has(self.sumOfSquares) && has(self.count))",
                "type: Mean needs the queries sum, sumOfSquares and count, which are for it alone",
            ),
            (
                "(self.type == 'Guardrail') == has(self.query)",
                "type: Guardrail needs a query, which is for it alone",
            ),
            (
                "(self.type == 'Guardrail') == (has(self.min) || has(self.max))",
                "type: Guardrail needs min or max, which are for it alone",
            ),
            (
                "self.type in ['Latency', 'Guardrail'] || has(self.margin)",
                "the types Errors, Proportion and Mean need a margin: the difference that does not matter",
            ),
            (
                "self.type != 'Latency' || !has(self.margin)",
                "type: Latency takes maxIncreasePercent instead of a margin",
            ),
        )
    )

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40,
            pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$",
            json_schema_extra=explained("the name of an analysis has lower-case letters, digits and '-' only"),
        ),
    ]
    """The name under which status and log show it."""
    type: AnalysisType
    """Errors and Latency are measured by the gateway or the server; the others by a query of your own."""
    margin: Annotated[Decimal, Field(json_schema_extra=cel(("double(self) > 0.0", "the margin is larger than 0")))] | (
        None
    ) = None
    """The difference that does not matter: of error rates, proportions or means."""
    max_increase_percent: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Latency: by how many percent the candidate may be slower."""
    quantile: Annotated[Fraction, Field()] = "0.99"
    """Latency: the quantile that is compared."""
    better: Better = Better.LOWER
    """Proportion and Mean: which way is better."""
    metric_source_ref: MetricSourceRef | None = None
    """The MetricSource that answers the queries."""
    events: Query | None = None
    """Proportion: the counter of events, with one matcher $revision."""
    total: Query | None = None
    """Proportion: the counter of all cases, with one matcher $revision."""
    sum: Query | None = None
    """Mean: the counter of the sum, with one matcher $revision."""
    sum_of_squares: Query | None = None
    """Mean: the counter of the sum of squares, with one matcher $revision."""
    count: Query | None = None
    """Mean: the counter of the values, with one matcher $revision."""
    query: Query | None = None
    """Guardrail: the gauge, with one matcher $revision."""
    min: Decimal | None = None
    """Guardrail: the smallest value that is allowed."""
    max: Decimal | None = None
    """Guardrail: the largest value that is allowed."""


def default_analysis() -> list[Analysis]:
    """Return what is compared if nothing is named."""
    return [Analysis(name="errors", type=AnalysisType.ERRORS, margin="0.005")]
