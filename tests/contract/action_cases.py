"""What the API server must accept and refuse of a ModelAction."""

from typing import Any

from tests.contract.crd_cases import Case, Changes
from tests.contract.manifests import ABSENT, DIGEST, HEX, action

NEEDS_REASON = ("Reject", "Promote", "Rollback", "ReleaseQuarantine")


def _each(path: str, *values: Any) -> list[Changes]:
    return [{path: value} for value in values]


ACTION_CASES = [
    Case(
        "revision",
        "revision is required: the 12 digits of the revision that this is about",
        bad=[{"spec.revision": ABSENT}],
        base=action(),
    ),
    Case(
        "revision to go back to",
        "a revision is 12 lower-case hexadecimal digits",
        bad=_each("spec.revision", "", "previous", "0123456789AB"),
        good=[{"spec.revision": ABSENT}, {}],
        base=action("Rollback"),
    ),
    Case(
        "model of an action",
        "the name of a Model has at most 40 lower-case letters, digits and '-', starts with a letter "
        "and ends with a letter or digit",
        bad=_each("spec.modelRef.name", "", "a.b", "A"),
        base=action(),
    ),
    Case(
        "evidence of an approval",
        "evidenceDigest is required for Approve: what status.candidate.evidenceDigest of the Model says",
        bad=[{"spec.evidenceDigest": ABSENT}],
        good=[{}, {"spec.reason": ABSENT}],
        base=action(),
    ),
    Case(
        "form of the evidence",
        "a hash is sha256: and 64 lower-case hexadecimal digits",
        bad=_each("spec.evidenceDigest", "", HEX, "latest"),
        base=action(),
    ),
    *(
        Case(
            f"evidence with {kind}",
            "evidenceDigest is for Approve and Reject only",
            bad=[{"spec.evidenceDigest": DIGEST}],
            base=action(kind),
        )
        for kind in ("Promote", "Rollback", "Retry", "Evaluate", "ReleaseQuarantine")
    ),
    Case(
        "evidence of a rejection",
        "evidenceDigest is for Approve and Reject only",
        bad=[{"spec.action": "Evaluate", "spec.evidenceDigest": DIGEST}],
        good=[{"spec.evidenceDigest": DIGEST}, {}],
        base=action("Reject"),
    ),
    *(
        Case(
            f"reason of {kind}",
            "reason is required for Reject, Promote, Rollback and ReleaseQuarantine: it stays in the decision log",
            bad=_each("spec.reason", ABSENT, "", "  "),
            good=[{}, {"spec.action": "Retry", "spec.reason": ABSENT}, {"spec.action": "Evaluate", "spec.reason": ""}],
            base=action(kind),
        )
        for kind in NEEDS_REASON
    ),
    *(
        Case(
            f"bypass with {kind}",
            "bypass is for Promote only",
            bad=[{"spec.bypass": True}],
            good=[{"spec.bypass": False}],
            base=action(kind),
        )
        for kind in ("Approve", "Reject", "Rollback", "Retry", "Evaluate", "ReleaseQuarantine")
    ),
    Case(
        "bypass with Promote",
        "bypass is for Promote only",
        bad=[{"spec.action": "Retry", "spec.bypass": True}],
        good=[{"spec.bypass": True}],
        base=action("Promote"),
    ),
]
