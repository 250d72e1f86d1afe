"""Why an artifact could not be had: the reasons that the controller reads, and their exit codes."""

from enum import StrEnum


class Reason(StrEnum):
    """What went wrong; the value stands in the termination message."""

    DIGEST_MISMATCH = "DigestMismatch"
    ARTIFACT_NOT_FOUND = "ArtifactNotFound"
    ARTIFACT_UNAVAILABLE = "ArtifactUnavailable"
    UNSAFE_FORMAT = "UnsafeFormat"
    TOO_LARGE = "TooLarge"
    INVALID_REFERENCE = "InvalidReference"
    SCHEMA_MISMATCH = "SchemaMismatch"


EXIT_CODES = {
    Reason.DIGEST_MISMATCH: 20,
    Reason.ARTIFACT_NOT_FOUND: 21,
    Reason.ARTIFACT_UNAVAILABLE: 22,
    Reason.UNSAFE_FORMAT: 23,
    Reason.TOO_LARGE: 24,
    Reason.INVALID_REFERENCE: 25,
    Reason.SCHEMA_MISMATCH: 26,
}


class ArtifactError(Exception):
    """An artifact that cannot be used; the message is one sentence for a person."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def exit_code(self) -> int:
        """The exit status of a process that ends because of this error."""
        return EXIT_CODES[self.reason]
