"""What can go wrong in the model server: at load, and in a request."""


class LoadError(Exception):
    """The model cannot be served; `reason` goes into the termination message, the message is one sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class RequestError(Exception):
    """A request that gets an error answer; the message is one sentence that says what to change."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def quoted(name: object) -> str:
    """A name from outside, short and printable, for use in a message."""
    return repr(str(name)[:80])
