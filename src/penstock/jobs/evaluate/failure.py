"""Why a revision could not be evaluated."""

from penstock.jobs.validate.failure import DatasetError


class EvaluationError(DatasetError):
    """An evaluation that cannot be done; the message is one sentence for a person, without any value of a row."""
