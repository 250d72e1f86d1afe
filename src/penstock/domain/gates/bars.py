"""How high a gate's bars are: tells an edit that asks for more from one that asks for less."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.api.v1alpha1.evaluationgate import EvaluationGateSpec, GateMetric, OnInconclusive

_STRICTNESS = {OnInconclusive.REQUIRE_APPROVAL: "0", OnInconclusive.HOLD: "1", OnInconclusive.FAIL: "2"}


def bars(spec: EvaluationGateSpec) -> dict[str, str]:
    """Return what has to be reached, each as a number: the higher the stricter, but for names that end in `:max`.

    A bar that is new asks for more.
    """
    found = {"confidence": spec.confidence, "onInconclusive": _STRICTNESS[spec.on_inconclusive]}
    for metric in spec.metrics:
        found |= _of(metric)
    if spec.fairness is not None:
        for item in spec.fairness.metrics:
            found |= {f"{item.name.value}/{column}:max": item.max for column in spec.fairness.protected}
    if spec.latency is not None:
        found["latency:max"] = str(spec.latency.p99_milliseconds)
    return found


def _of(metric: GateMetric) -> dict[str, str]:
    found = dict(_sides(metric.key, metric.min, metric.max))
    if metric.versus_champion is not None:
        rule = metric.versus_champion
        found[f"{metric.key}/champion:max"] = rule.max_regression
        found |= dict(_sides(f"{metric.key}/floor", rule.absolute_min, rule.absolute_max))
    if metric.slices is not None:
        for column in metric.slices.by:
            found |= dict(_sides(f"{metric.key}/slices/{column}", metric.slices.min, metric.slices.max))
        found[f"{metric.key}/slices/minSamples:max"] = str(metric.slices.min_samples)
        found[f"{metric.key}/slices/required"] = str(int(metric.slices.required))
    return found


def _sides(name: str, least: str | None, most: str | None) -> Iterator[tuple[str, str]]:
    if least is not None:
        yield f"{name}:min", least
    if most is not None:
        yield f"{name}:max", most
