"""What a shadow is held against: the limits of `spec.rollout.shadow` and what the gate's holdout lets expect."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.api.v1alpha1.rollout import Shadow
from penstock.domain.gates.task import Disagreement
from penstock.domain.shadow.agreement import AnswerRule, Measure


@dataclass(frozen=True, slots=True)
class ShadowPlan:
    """The limits. `alpha`: the chance that a Pass or a Fail about disagreement is wrong, over all looks together."""

    percent: int = 100
    min_samples: int = 2000
    max_excess: float = 0.02
    max_latency_increase_percent: int | None = None
    latency_quantile: float = 0.99
    alpha: float = 0.05

    @classmethod
    def of(cls, shadow: Shadow) -> ShadowPlan:
        """Read what the owner of the Model declared."""
        return cls(
            percent=shadow.percent,
            min_samples=shadow.min_samples,
            max_excess=float(shadow.max_excess_disagreement),
            max_latency_increase_percent=shadow.max_latency_increase_percent,
        )


_FAR_APART = 0.05


@dataclass(frozen=True, slots=True)
class Expectation:
    """How often the two differed on the gate's held-out rows: `differing` of `rows`.

    Without rows nothing is expected to differ: that is what a candidate has to keep to that no gate compared.
    """

    rows: int = 0
    differing: float = 0

    @classmethod
    def of(cls, found: Disagreement | None, rule: AnswerRule) -> Expectation:
        """Read what an evaluation found, of answers that are compared by this rule.

        Numbers have no labels that could flip. There the rule calls two answers different that are further apart than
        the 0.95 quantile found on the holdout, of which 5 % were by its meaning.
        """
        if found is None or not found.n or rule.measure is Measure.AUTO:
            return cls()
        return cls(found.n, _FAR_APART * found.n if rule.measure is Measure.NUMBER else found.label_flips)
