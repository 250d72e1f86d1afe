"""What can go wrong when talking to the API server, one class per answer that callers treat differently."""

from __future__ import annotations

from typing import Any

import orjson

Json = dict[str, Any]


class ApiError(Exception):
    """The API server refused or failed a request.

    ``status`` is the HTTP status (0 if there was no answer), ``reason`` the machine-readable word of the Status
    object, ``retry_after`` the seconds the server asked us to wait, ``details`` the Status object's details.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
        details: Json | None = None,
    ) -> None:
        super().__init__(f"{message} ({status} {reason})" if status else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.details: Json = details or {}

    def has_cause(self, *, field: str | None = None, reason: str | None = None) -> bool:
        """Whether one of the Status object's causes names this field and, or, this reason."""
        return any(
            (field is None or cause.get("field") == field) and (reason is None or cause.get("reason") == reason)
            for cause in self.details.get("causes") or ()
        )


class Unauthorized(ApiError):
    """401: the credentials were not accepted."""


class Forbidden(ApiError):
    """403: no permission, refused by admission, or the namespace is going away."""

    @property
    def namespace_terminating(self) -> bool:
        """Whether the namespace is being deleted, so that creating in it can never succeed."""
        return self.has_cause(reason="NamespaceTerminating")


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class Conflict(ApiError):
    """409: a resourceVersion, uid or field owner was not the expected one."""


class AlreadyExists(ApiError):
    """409 on create: an object of that name exists."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old."""


class Invalid(ApiError):
    """422: the object breaks the schema or a validation rule."""


class TooManyRequests(ApiError):
    """429: the server sheds load; wait ``retry_after`` seconds."""


class ServerError(ApiError):
    """5xx: the server failed; a write may or may not have happened."""


class Unreachable(ApiError):
    """No answer: connection failed, broke or timed out.

    ``outcome_unknown`` is False only if the request surely never reached the server.
    """

    def __init__(self, message: str, *, outcome_unknown: bool) -> None:
        super().__init__(0, "Unreachable", message)
        self.outcome_unknown = outcome_unknown


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def from_response(status: int, body: bytes, retry_after_header: str | None) -> ApiError:
    """Builds the error for an HTTP answer >= 400; ``body`` may be a Status object or anything else."""
    document = _status_object(body)
    message = str(document.get("message") or body[:200].decode(errors="replace").strip() or "no message")
    return _build(status, document, message, retry_after_header)


def from_status(document: Json) -> ApiError:
    """Builds the error for a Status object that came in a watch stream."""
    return _build(int(document.get("code") or 500), document, str(document.get("message") or "no message"), None)


def _build(status: int, document: Json, message: str, retry_after_header: str | None) -> ApiError:
    details = document.get("details") or {}
    reason = str(document.get("reason") or "")
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if reason == "AlreadyExists":
        kind = AlreadyExists
    elif reason == "Expired":
        kind = Gone
    return kind(status, reason, message, _seconds(retry_after_header, details.get("retryAfterSeconds")), details)


def _status_object(body: bytes) -> Json:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(header: str | None, from_details: object) -> float | None:
    for value in (header, from_details):
        try:
            seconds = float(str(value))
        except ValueError:
            continue
        if seconds > 0:
            return seconds
    return None
