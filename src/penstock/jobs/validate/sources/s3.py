"""Datasets in S3 and what speaks its protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore import exceptions
from obstore.store import S3Store

from penstock.api.v1alpha1.conditions import Reason
from penstock.jobs.validate.failure import DatasetError, TransientError
from penstock.jobs.validate.sources.retry import retried
from penstock.jobs.validate.sources.scratch import Scratch
from penstock.jobs.validate.sources.source import (
    MAX_FILES,
    Fetched,
    LocalFile,
    is_pattern,
    matching,
    no_match,
    secret_file,
    several,
    single,
    too_many,
)

PIECE_BYTES = 16 << 20
"""How much one request asks for: small enough for any time limit of a proxy, and all that is held in memory."""
_DEFAULT_REGION = "us-east-1"
_AMBIENT = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
"""Set by EKS in pods whose service account has an identity of its own."""
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?/?|https?://\[[0-9a-fA-F:]+\](:[0-9]{1,5})?/?")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_STATUS = re.compile(r"status code: ([0-9]{3})")
_BAD_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})
_BAD_KEYS = frozenset(
    {
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "XAdminUserNotFound",
    }
)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Object:
    key: str
    size: int
    tag: str | None


@dataclass
class S3Source:
    """`s3://BUCKET/KEY`; the last part of the key may be a pattern.

    `credentials`: the mounted Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if wanted, AWS_SESSION_TOKEN,
    AWS_REGION, AWS_ENDPOINT_URL. Without keys the identity of the pod's service account is used, or none.
    """

    uri: str
    credentials: Path
    needs_credentials: bool
    retry_seconds: float
    _tags: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def fetch(self, scratch: Scratch) -> Fetched:
        """See Source.fetch."""
        bucket, _, key = self.uri.removeprefix("s3://").partition("/")
        store = self._store(bucket)
        folder, _, name = key.rpartition("/")
        if not is_pattern(name):
            return single(self._download(store, self._head(store, key), name, scratch))
        listed = {item.key.rpartition("/")[2]: item for item in self._list(store, folder)}
        found = matching(list(listed), name)
        if not found:
            raise no_match(self.uri)
        if len(found) > MAX_FILES:
            raise too_many(self.uri)
        scratch.expect(sum(listed[item].size for item in found))
        return several([self._download(store, listed[item], item, scratch) for item in found])

    def verify(self, fetched: Fetched) -> None:
        """See Source.verify. Every piece was asked for by the object's tag, so that nothing is left to look at."""

    def _store(self, bucket: str) -> S3Store:
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        identity, secret = (secret_file(self.credentials, key) for key in keys)
        if bool(identity) != bool(secret) or (self.needs_credentials and not identity):
            missing = " and ".join(key for key, value in zip(keys, (identity, secret), strict=True) if not value)
            raise DatasetError(
                Reason.CREDENTIALS_MISSING, f"The Secret with the credentials of {self.uri} lacks {missing}: add it."
            )
        endpoint = secret_file(self.credentials, "AWS_ENDPOINT_URL")
        options: dict[str, Any] = {"region": secret_file(self.credentials, "AWS_REGION") or _DEFAULT_REGION}
        if endpoint:
            if _ENDPOINT.fullmatch(endpoint) is None:
                raise DatasetError(
                    Reason.CREDENTIALS_MISSING,
                    f"AWS_ENDPOINT_URL in the Secret for {self.uri} is no address: write it as https://HOST[:PORT].",
                )
            options["endpoint"] = endpoint.rstrip("/")
        if identity:
            options |= {"access_key_id": identity, "secret_access_key": secret}
            if token := secret_file(self.credentials, "AWS_SESSION_TOKEN"):
                options["session_token"] = token
        elif not any(name in os.environ for name in _AMBIENT):
            options["skip_signature"] = True
        return S3Store(
            bucket,
            client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=max(1.0, self.retry_seconds))},
            **options,
        )

    def _head(self, store: S3Store, key: str) -> _Object:
        def ask() -> Any:
            try:
                return obstore.head(store, key)
            except (exceptions.BaseError, OSError):
                # The answer to HEAD has no body to say why; that to GET has.
                return obstore.get(store, key).meta

        return _object(self._asked(ask))

    def _list(self, store: S3Store, folder: str) -> list[_Object]:
        listed = self._asked(lambda: obstore.list_with_delimiter(store, prefix=folder or None))
        return [_object(item) for item in listed["objects"]]

    def _download(self, store: S3Store, item: _Object, name: str, scratch: Scratch) -> LocalFile:
        scratch.expect(item.size)
        saved = scratch.save(self._pieces(store, item, name))
        return LocalFile(name, saved.size, saved.digest, saved.path)

    def _pieces(self, store: S3Store, item: _Object, name: str) -> Iterator[bytes]:
        for start in range(0, item.size, PIECE_BYTES):
            yield self._asked(lambda start=start: self._piece(store, item, name, start))  # type: ignore[misc]

    def _piece(self, store: S3Store, item: _Object, name: str, start: int) -> bytes:
        end = min(start + PIECE_BYTES, item.size)
        options: dict[str, Any] = {"range": (start, end)}
        if item.tag:
            options["if_match"] = item.tag
        try:
            answer = obstore.get(store, item.key, options=options)  # type: ignore[arg-type]
            content = bytes(answer.bytes())
        except (exceptions.PreconditionError, FileNotFoundError):
            raise _changed(name) from None
        if answer.meta["size"] != item.size or answer.meta["e_tag"] != item.tag or len(content) != end - start:
            raise _changed(name)
        return content

    def _asked(self, ask: Callable[[], Result]) -> Result:
        def attempt() -> Result:
            try:
                return ask()
            except (exceptions.BaseError, OSError) as error:
                raise self._explained(error) from None

        return retried(self.uri, attempt, seconds=self.retry_seconds)

    def _explained(self, error: BaseException) -> Exception:
        # The library's own text holds whole requests and answers: only the answer's code is taken from it.
        text = str(error)
        found_code, found_status = _CODE.search(text), _STATUS.search(text)
        code, status = found_code[1] if found_code else "", int(found_status[1]) if found_status else 0
        if code in _BAD_REGION:
            return DatasetError(
                Reason.SOURCE_ACCESS_DENIED,
                f"The bucket of {self.uri} is in another region ({code}): write it as AWS_REGION in the Secret.",
            )
        denied = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
        if denied or status in (401, 403) or code in _BAD_KEYS:
            return DatasetError(
                Reason.SOURCE_ACCESS_DENIED,
                f"Access to {self.uri} was refused ({code or status}): check the keys in the Secret and that they may"
                " get objects and list the bucket.",
            )
        if isinstance(error, exceptions.NotFoundError | FileNotFoundError) or status == 404:
            what = "bucket" if code == "NoSuchBucket" else "object"
            return DatasetError(
                Reason.SOURCE_NOT_FOUND,
                f"There is no such {what} as {self.uri}: correct bucket and key in the uri or bring the file.",
            )
        return TransientError(f"status {status} {code}".rstrip() if status else "the connection failed")


def _object(meta: Any) -> _Object:
    return _Object(key=meta["path"], size=meta["size"], tag=meta["e_tag"])


def _changed(name: str) -> DatasetError:
    return DatasetError(
        Reason.SOURCE_CHANGED,
        f"'{name}' was changed while it was read: write new versions under a new name; it is read again.",
    )
