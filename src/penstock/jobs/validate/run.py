"""One validation from its task to its result."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import DatasetRef
from penstock.api.v1alpha1.featuresetstatus import Verdict
from penstock.domain.data.task import MadeBaseline, ValidationResult, ValidationTask, error
from penstock.jobs.validate.engine import Outcome, profile_of, validate
from penstock.jobs.validate.failure import DatasetError
from penstock.jobs.validate.report import report_of
from penstock.jobs.validate.settings import Settings
from penstock.jobs.validate.sources import Obtained, Scratch, obtain, source_of
from penstock.jobs.validate.sources.oci import DOCKER_CONFIG
from penstock.jobs.validate.store import PROFILE_TYPE, REPORT_TYPE, Store
from penstock.profile.errors import ProfileError
from penstock.profile.profile import Profile
from penstock.profile.serial import dump_profile, load_profile

_NAMED_CHECKS = 6


@dataclass(frozen=True, slots=True)
class _Known:
    """A baseline's profile, its digest in the store if it is there, and what is said of it if this Job made it."""

    profile: Profile
    profile_digest: str | None
    made: MadeBaseline | None = None


def run(task: ValidationTask, settings: Settings) -> ValidationResult:
    """Fetch, check, profile and report; every DatasetError becomes a result of verdict Error."""
    known: dict[str, object] = {}
    try:
        store = _store(task, settings)
        baseline = _baseline(task, settings, store)
        if baseline and baseline.made:
            known["baseline"] = baseline.made
        with_profile = store is not None
        obtained = _obtain(task.source, settings.credentials, "dataset", task, settings)
        known["digest"] = obtained.dataset.digest
        outcome = validate(
            obtained.dataset,
            task,
            scratch=settings.scratch,
            baseline=baseline.profile if baseline else None,
            with_profile=with_profile,
            as_baseline=with_profile and task.baseline_from_source,
        )
        obtained.verify_unchanged()
        return _result(outcome, task, obtained, store, baseline)
    except DatasetError as failure:
        return error(failure.reason.value, failure.message, **known)


def _store(task: ValidationTask, settings: Settings) -> Store | None:
    if task.store is None:
        return None
    config = settings.store_credentials / DOCKER_CONFIG
    return Store(
        task.store,
        docker_config=config if config.is_file() else None,
        insecure_registries=task.insecure_registries,
        retry_seconds=settings.retry_seconds,
    )


def _obtain(
    reference: DatasetRef, credentials: Path, folder: str, task: ValidationTask, settings: Settings
) -> Obtained:
    source = source_of(
        reference,
        credentials=credentials,
        pvc=settings.pvc,
        retry_seconds=settings.retry_seconds,
        insecure_registries=task.insecure_registries,
    )
    return obtain(reference, source, Scratch(settings.scratch / folder, task.scratch_bytes))


def _baseline(task: ValidationTask, settings: Settings, store: Store | None) -> _Known | None:
    if task.baseline_profile is not None:
        return _Known(_stored_profile(task.baseline_profile.digest, store), task.baseline_profile.digest)
    if task.baseline_dataset is not None:
        return _made_baseline(task, task.baseline_dataset, settings, store)
    return None


def _stored_profile(digest: str, store: Store | None) -> Profile:
    if store is None:
        raise DatasetError(
            Reason.STORE_UNAVAILABLE,
            "There is a baseline but no artifact store to read it from: check the operator's artifactStore setting.",
        )
    content = store.fetch(digest)
    try:
        if content is not None:
            return load_profile(content)
    except ProfileError:
        pass
    raise DatasetError(
        Reason.BASELINE_UNAVAILABLE,
        f"The artifact store does not hold the baseline's profile {digest}: change spec.baseline to have it made anew.",
    )


def _made_baseline(task: ValidationTask, reference: DatasetRef, settings: Settings, store: Store | None) -> _Known:
    try:
        obtained = _obtain(reference, settings.baseline_credentials, "baseline", task, settings)
        outcome = profile_of(obtained.dataset, task, scratch=settings.scratch)
        obtained.verify_unchanged()
    except DatasetError as failure:
        raise DatasetError(Reason.BASELINE_UNAVAILABLE, f"The baseline's dataset: {failure.message}") from None
    finally:
        shutil.rmtree(settings.scratch / "baseline", ignore_errors=True)
    if outcome.profile is None:
        raise DatasetError(
            Reason.BASELINE_UNAVAILABLE, "The baseline's dataset has no rows: name another dataset in spec.baseline."
        )
    if store is None:
        return _Known(outcome.profile, None)
    digest = store.push("profile.json", dump_profile(outcome.profile), PROFILE_TYPE)
    made = MadeBaseline(digest=obtained.dataset.digest, profile_digest=digest, rows=outcome.rows)
    return _Known(outcome.profile, digest, made)


def _result(
    outcome: Outcome, task: ValidationTask, obtained: Obtained, store: Store | None, baseline: _Known | None
) -> ValidationResult:
    made = baseline.made if baseline else None
    if outcome.verdict is Verdict.NO_DATA:
        return ValidationResult(
            verdict=Verdict.NO_DATA,
            reason=Reason.EMPTY_DATASET.value,
            message="The dataset has no rows: bring files with rows.",
            digest=obtained.dataset.digest,
            rows=0,
            baseline=made,
        )
    profile_digest = report_digest = None
    if store is not None and outcome.profile is not None:
        profile_digest = store.push("profile.json", dump_profile(outcome.profile), PROFILE_TYPE)
        report = report_of(
            outcome,
            task,
            obtained.dataset,
            profile_digest=profile_digest,
            baseline_profile=baseline.profile_digest if baseline else None,
        )
        report_digest = store.push("report.json", report, REPORT_TYPE)
    passed = outcome.verdict is Verdict.PASS
    if task.baseline_from_source and passed and profile_digest:
        made = MadeBaseline(digest=obtained.dataset.digest, profile_digest=profile_digest, rows=outcome.rows)
    return ValidationResult(
        verdict=outcome.verdict,
        reason=(Reason.VALID if passed else Reason.CHECKS_FAILED).value,
        message="" if passed else _summary(outcome),
        digest=obtained.dataset.digest,
        rows=outcome.rows,
        newest=outcome.newest,
        profile_digest=profile_digest,
        report_digest=report_digest,
        baseline=made,
        checked=len(outcome.checks),
        failed=len(outcome.failed),
        failed_checks=[item.failed_check() for item in outcome.failed],
    )


def _summary(outcome: Outcome) -> str:
    names = [f"{item.check} {item.feature}" if item.feature else item.check for item in outcome.failed]
    shown = [name[:80] for name in names[:_NAMED_CHECKS]]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{len(names)} of {len(outcome.checks)} checks failed: {', '.join(shown)}{more}."
