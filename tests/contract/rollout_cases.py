"""What the API server must accept and refuse of `spec.rollout` of a Model."""

from __future__ import annotations

from typing import Any

from tests.contract.crd_cases import Case, Changes

ERRORS = {"name": "errors", "type": "Errors", "margin": "0.01"}
SOURCE = {"metricSourceRef": {"name": "prometheus"}}
PROPORTION = {"name": "clicks", "type": "Proportion", "margin": "0.01", "events": "a", "total": "b", **SOURCE}
MEAN = {"name": "basket", "type": "Mean", "margin": "1", "sum": "a", "sumOfSquares": "b", "count": "c", **SOURCE}
GUARDRAIL = {"name": "memory", "type": "Guardrail", "query": "a", "max": "0.9", **SOURCE}
STEPS = [{"weight": 5, "minRequests": 100}, {"weight": 50}]


def _canary(*steps: list[Any]) -> list[Changes]:
    return [{"spec.rollout": {"canary": {"steps": item}}} for item in steps]


def _analysis(*items: Any) -> list[Changes]:
    return [{"spec.rollout": {"canary": {"steps": STEPS, "analysis": [item]}}} for item in items]


def _rollout(*values: Any) -> list[Changes]:
    return [{"spec.rollout": value} for value in values]


def _freeze(**change: Any) -> Changes:
    return {"spec.rollout": {"freeze": [{"schedule": "0 18 * * FRI", "durationSeconds": 3600} | change]}}


ROLLOUT_CASES = [
    Case(
        "rollout of a high risk",
        "a Model with risk: High needs rollout.gates and rollout.approval.required: true",
        bad=[
            {"spec.card": {"risk": "High", "purpose": "x", "limitations": "y"}, "spec.rollout": rollout}
            for rollout in (
                {},
                {"gates": [{"name": "g"}]},
                {"gates": [{"name": "g"}], "approval": {"required": False}},
                {"gates": [], "approval": {"required": True}},
            )
        ],
        good=[
            {
                "spec.card": {"risk": "High", "purpose": "x", "limitations": "y"},
                "spec.rollout": {"gates": [{"name": "g"}], "approval": {"required": True}},
            },
            {"spec.card": {"risk": "Limited"}},
        ],
    ),
    Case(
        "shadow without side effects",
        "a shadow asks the candidate a second time: write sideEffects: None if a prediction changes nothing else, or"
        " leave shadow out",
        bad=_rollout({"shadow": {}}, {"shadow": {"percent": 10}}),
        good=_rollout({"shadow": {"sideEffects": "None"}}, {"shadow": {"sideEffects": "None", "percent": 10}}),
    ),
    Case(
        "steps differ",
        "two steps have the same weight; write minSeconds or minRequests into one of them instead",
        bad=_canary([{"weight": 5}, {"weight": 5}]),
        good=_canary([{"weight": 5}], STEPS),
    ),
    Case(
        "steps grow",
        "the weights of the steps grow",
        bad=_canary([{"weight": 50}, {"weight": 5}]),
        good=_canary(STEPS, [{"weight": weight} for weight in range(10, 100, 10)]),
    ),
    Case(
        "metric source of an analysis",
        "metricSourceRef is for the types Proportion, Mean and Guardrail, which need it",
        bad=_analysis(ERRORS | SOURCE, {key: value for key, value in MEAN.items() if key != "metricSourceRef"}),
        good=_analysis(ERRORS, PROPORTION, MEAN, GUARDRAIL),
    ),
    Case(
        "queries of a proportion",
        "type: Proportion needs the queries events and total, which are for it alone",
        bad=_analysis(
            {key: value for key, value in PROPORTION.items() if key != "total"}, MEAN | {"events": "a", "total": "b"}
        ),
        good=_analysis(PROPORTION),
    ),
    Case(
        "queries of a mean",
        "type: Mean needs the queries sum, sumOfSquares and count, which are for it alone",
        bad=_analysis(
            {key: value for key, value in MEAN.items() if key != "sum"},
            PROPORTION | {"sum": "a", "sumOfSquares": "b", "count": "c"},
        ),
        good=_analysis(MEAN),
    ),
    Case(
        "query of a guardrail",
        "type: Guardrail needs a query, which is for it alone",
        bad=_analysis({key: value for key, value in GUARDRAIL.items() if key != "query"}, ERRORS | {"query": "a"}),
        good=_analysis(GUARDRAIL),
    ),
    Case(
        "bounds of a guardrail",
        "type: Guardrail needs min or max, which are for it alone",
        bad=_analysis({key: value for key, value in GUARDRAIL.items() if key != "max"}, ERRORS | {"min": "0"}),
        good=_analysis(GUARDRAIL, GUARDRAIL | {"min": "0"}),
    ),
    Case(
        "margin of an analysis",
        "the types Errors, Proportion and Mean need a margin: the difference that does not matter",
        bad=_analysis({"name": "errors", "type": "Errors"}),
        good=_analysis(ERRORS, {"name": "latency", "type": "Latency"}),
    ),
    Case(
        "no margin of a latency",
        "type: Latency takes maxIncreasePercent instead of a margin",
        bad=_analysis({"name": "latency", "type": "Latency", "margin": "0.1"}),
        good=_analysis({"name": "latency", "type": "Latency", "maxIncreasePercent": 20}),
    ),
    Case(
        "margin above nothing",
        "the margin is larger than 0",
        bad=_analysis(ERRORS | {"margin": "0"}, ERRORS | {"margin": "-1"}),
        good=_analysis(ERRORS | {"margin": "1e-3"}),
    ),
    Case(
        "name of an analysis",
        "the name of an analysis has lower-case letters, digits and '-' only",
        bad=_analysis(ERRORS | {"name": "Errors"}, ERRORS | {"name": "a b"}),
        good=_analysis(ERRORS | {"name": "errors-5xx"}),
    ),
    Case(
        "schedule of a freeze",
        'schedule is a cron line of five fields, such as "0 18 * * FRI" for Fridays at 18:00',
        bad=[_freeze(schedule="every day"), _freeze(schedule="0 18 * *")],
        good=[_freeze(), _freeze(schedule="*/5 0-6 1,15 * 1-5")],
    ),
    Case(
        "time zone of a freeze",
        "timeZone is a name of the tz database, such as Europe/Berlin",
        bad=[_freeze(timeZone="+02:00"), _freeze(timeZone="Europe Berlin")],
        good=[_freeze(timeZone="Europe/Berlin"), _freeze(timeZone="UTC"), _freeze(timeZone="Etc/GMT+2")],
    ),
]
