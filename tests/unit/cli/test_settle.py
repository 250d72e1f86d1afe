import pytest

from penstock.api.v1alpha1.model import Model
from penstock.cli.settle import Ending, rest
from tests.unit.cli.model_given import CANARY, NEW, condition, model

WAITS = {"candidate": {**CANARY["candidate"], "stage": "AwaitingApproval", "waitingFor": "0 of 1 approvals."}}
NOT_SERVED = condition("SpecServed", "False", "GateFailed")
NONE_YET = {"stable": None}


@pytest.mark.parametrize(
    ("found", "ending", "says"),
    [
        (model(), Ending.SERVING, "Revision 0123456789ab serves all traffic"),
        (model({"observedGeneration": 2}), Ending.TIMEOUT, "has not looked"),
        (model(CANARY), Ending.TIMEOUT, f"Revision {NEW} is in Canary 1/3: 40 of 500 requests"),
        (model(WAITS), Ending.PERSON, f"Revision {NEW} waits for approval: 0 of 1 approvals."),
        (model(CANARY, suspend=True), Ending.PERSON, "spec.suspend is true"),
        (model(suspend=True), Ending.SERVING, "serves"),
        (
            model(None, NOT_SERVED, condition("CandidateRejected", "True", "GateFailed", "auc 0.6")),
            Ending.TURNED_DOWN,
            "auc 0.6",
        ),
        (model(None, condition("SpecServed", "False", "RolledBack", "a way back")), Ending.TURNED_DOWN, "a way back"),
        (model(None, condition("SpecServed", "False", "Progressing", "soon")), Ending.TIMEOUT, "soon"),
        (model(None, condition("Ready", "False", "Unavailable", "no pods")), Ending.TIMEOUT, "no pods"),
        (model(None, condition("Stalled", "True", "StateLost", "no log")), Ending.ERROR, "no log"),
        (
            model(NONE_YET, NOT_SERVED, condition("Stalled", "True", "Quota", "no room")),
            Ending.ERROR,
            "no room",
        ),
        (
            model(
                {
                    **NONE_YET,
                    "history": [
                        {"revision": NEW, "outcome": "Rejected", "reason": "GateFailed", "at": "2026-03-01T12:00:00Z"}
                    ],
                },
                NOT_SERVED,
                condition("Stalled", "True", "GateFailed", "auc 0.6"),
            ),
            Ending.TURNED_DOWN,
            "auc 0.6",
        ),
        (
            model({**CANARY, **NONE_YET}, condition("Stalled", "True", "ImagePull", "no image")),
            Ending.ERROR,
            "no image",
        ),
    ],
)
def test_rest(found: Model, ending: Ending, says: str) -> None:
    at = rest(found)
    assert at.ending is ending
    assert says in at.sentence
