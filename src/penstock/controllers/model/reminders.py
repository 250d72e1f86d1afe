"""Tells people that a stage has used up half of its time, while something can still be done about it."""

from __future__ import annotations

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.conditions import Reason, describe
from penstock.controllers.model import waits
from penstock.controllers.model.prober import ModelKey
from penstock.controllers.model.scope import Scope
from penstock.domain.lifecycle.classify import deadline_of, half_time_of


class Reminders:
    """Speaks once for each stage; another operator may say it again, which does no harm."""

    def __init__(self) -> None:
        self._said: dict[ModelKey, object] = {}

    def due(self, key: ModelKey, scope: Scope, state: Checkpoint) -> str:
        """Return the sentence that is due now, empty if there is none."""
        candidate, half = state.candidate, half_time_of(state, scope.seen)
        end = deadline_of(state, scope.seen)
        if candidate is None or half is None or end is None or scope.seen.now < half:
            return ""
        stage = (candidate.entered, candidate.stage, candidate.step)
        if self._said.get(key) == stage:
            return ""
        self._said[key] = stage
        lacks = waits.sentence(scope, state) or "it goes on by itself"
        detail = f"{candidate.stage.value} ends {end:%Y-%m-%d %H:%M} UTC; {lacks}"
        return describe(Reason.DEADLINE_NEAR, revision=candidate.revision, detail=detail)

    def forget(self, key: ModelKey) -> None:
        """Drop what is known of a Model that is gone."""
        self._said.pop(key, None)
