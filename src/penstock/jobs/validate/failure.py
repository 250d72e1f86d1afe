"""Why a dataset could not be checked."""

from penstock.api.v1alpha1.conditions import Reason


class DatasetError(Exception):
    """A dataset that cannot be read or checked; the message is one sentence for a person, without any value."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class TransientError(Exception):
    """A failure that is worth another try; the message names the cause without any secret."""
