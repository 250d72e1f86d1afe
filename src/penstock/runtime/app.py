"""The ASGI application: the routes of the Open Inference Protocol v2 for one model."""

import logging
import time
from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson

from penstock.runtime.admission import ADMITTED, Admission, busy
from penstock.runtime.calls import Answer, Encoded
from penstock.runtime.capture import Capture
from penstock.runtime.codec import decode_call, encode_answer
from penstock.runtime.engine import Engine
from penstock.runtime.errors import RequestError, quoted
from penstock.runtime.http import (
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    json_size,
    read_body,
    request_id,
    respond,
)
from penstock.runtime.metrics import Metrics
from penstock.runtime.openapi import openapi_document
from penstock.runtime.ring import Ring, marked_for
from penstock.runtime.settings import Settings

if TYPE_CHECKING:  # imported by servers that have a schema only
    from penstock.runtime.features import FeatureInputs

SERVER_VERSION = "0.1.0"
EXTENSIONS = ["binary_tensor_data"]
_LEAST_IN_FLIGHT = 4
_PLATFORMS = {"ONNX": "onnx_onnxv1", "Skops": "sklearn_skops"}
_log = logging.getLogger(__name__)


class Phase(Enum):
    """From readiness to the end: while leaving, requests are answered but readiness is denied."""

    SERVING = 1
    LEAVING = 2
    STOPPED = 3


class App:
    """Answers every request; `phase` is moved by the server."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        capture: Capture | None = None,
        example: bytes | None = None,
        features: "FeatureInputs | None" = None,
        ring: Ring | None = None,
    ) -> None:
        """`features`, if there are any, stand between the requests and the engine. `ring`: for those of a shadow."""
        self.phase = Phase.SERVING
        self._decode = features.decode if features else decode_call
        self._inputs = features.specs if features else engine.inputs
        self._engine, self._settings, self._metrics = engine, settings, metrics
        self._capture, self._example = capture, example
        self._ring, self._revision = ring, settings.revision.encode()
        self._identity = [
            (b"x-penstock-model", settings.model_name.encode()),
            (b"x-penstock-revision", settings.revision.encode()),
            (b"x-penstock-digest", settings.digest.encode()),
        ]
        model = f"/v2/models/{settings.model_name}"
        version = f"{model}/versions/{settings.revision}"
        self._infer_paths = frozenset({f"{model}/infer", f"{version}/infer"})
        # A request that would wait longer than its client is better off elsewhere.
        in_time = max(_LEAST_IN_FLIGHT, engine.requests_within(settings.queue_seconds))
        most = int(min(settings.max_in_flight, in_time))
        self.admission = Admission(
            most, self._infer_paths, self._identity, metrics, lambda: self.phase is Phase.SERVING, self._revision
        )
        self._documents = {"/v2": _json({"name": "penstock", "version": SERVER_VERSION, "extensions": EXTENSIONS})}
        self._documents["/openapi.json"] = _json(openapi_document(settings.model_name, settings.revision, example))
        self._documents |= dict.fromkeys((model, version), _json(self._model_metadata()))
        self._ready_paths: dict[str, dict[str, str]] = {
            "/v2/health/ready": {},
            f"{model}/ready": {"name": settings.model_name},
            f"{version}/ready": {"name": settings.model_name},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the server runs without lifespan and websockets."""
        start = time.perf_counter()
        path: str = scope["path"]
        identifier = request_id(scope["headers"])
        headers = [*self._identity, (b"x-request-id", identifier)]
        if self.phase is not Phase.SERVING:
            headers.append((b"connection", b"close"))
        is_inference = path in self._infer_paths and scope["method"] == "POST"
        said: Answer | None = None
        try:
            if is_inference:
                if ADMITTED not in scope.get("state", ()):
                    self.admission.enter()
                try:
                    answer, said = await self._infer(scope["headers"], receive, identifier.decode(), start)
                    status = 200
                finally:
                    self.admission.leave()
            else:
                status, answer = self._get(scope["method"], path)
        except RequestError as error:
            status, answer = error.status, _error(error.message)
            headers.extend(error.headers)
        except ClientGone:
            return
        except Exception as error:
            _log.exception("request %s failed", identifier.decode())
            status, answer = 500, _error(f"the model failed ({_first_line(error)}); request {identifier.decode()}")
        if is_inference:
            self._note(scope["headers"], identifier, status, time.perf_counter() - start, said)
        await respond(send, status, headers, answer)

    def _note(self, headers: Headers, identifier: bytes, status: int, seconds: float, said: Answer | None) -> None:
        """Counts the request, and keeps the answer of one that was copied: the copy is the one that names us."""
        copied_to = marked_for(headers)
        is_shadow = copied_to == self._revision
        self._metrics.answered(status, seconds, is_shadow=is_shadow)
        if copied_to is not None and self._ring is not None:
            outputs = said.outputs if said else None
            self._ring.note(identifier, is_shadow=is_shadow, status=status, seconds=seconds, outputs=outputs)

    async def _infer(self, headers: Headers, receive: Receive, identifier: str, start: float) -> tuple[Encoded, Answer]:
        if self.phase is Phase.STOPPED:
            raise busy("the server is stopping; try again")
        body = await read_body(headers, receive, self._settings.max_body_bytes, self._settings.body_seconds)
        call = self._decode(body, json_size(headers))
        answer = await self._engine.infer(call)
        identifier = call.identifier or identifier
        encoded = encode_answer(answer, identifier, call.form)
        if self._capture is not None:
            self._capture.note(answer, identifier, time.perf_counter() - start)
        return encoded, answer

    def _get(self, method: str, path: str) -> tuple[int, Encoded]:
        known = path in self._documents or path in self._ready_paths or path == "/v2/health/live"
        if path in self._infer_paths or (known and method != "GET"):
            allowed = "POST" if path in self._infer_paths else "GET"
            raise RequestError(
                405, f"{quoted(method)} is not possible here, use {allowed}", ((b"allow", allowed.encode()),)
            )
        if path in self._documents:
            return 200, Encoded(self._documents[path])
        if path == "/v2/health/live":
            return 200, Encoded(_json({"live": True}))
        if path in self._ready_paths:
            ready = self.phase is Phase.SERVING
            return 200 if ready else 503, Encoded(_json({**self._ready_paths[path], "ready": ready}))
        raise self._not_found(path)

    def _not_found(self, path: str) -> RequestError:
        parts = path.split("/")
        if parts[:3] == ["", "v2", "models"] and len(parts) > 3:
            if parts[3] != self._settings.model_name:
                return RequestError(404, f"there is no model {quoted(parts[3])} here, only {self._settings.model_name}")
            if len(parts) > 5 and parts[4] == "versions" and parts[5] != self._settings.revision:
                return RequestError(404, f"there is no version {quoted(parts[5])} here, only {self._settings.revision}")
        return RequestError(404, f"there is nothing at {quoted(path)}, see GET /v2")

    def _model_metadata(self) -> dict[str, Any]:
        # A real row, for whoever wants to try the model; the operator's smoke prediction does.
        example = {"parameters": {"example": orjson.Fragment(self._example)}} if self._example else {}
        return {
            "name": self._settings.model_name,
            "versions": [self._settings.revision],
            "platform": _PLATFORMS[self._settings.model_format],
            "inputs": [spec.as_json() for spec in self._inputs],
            "outputs": [spec.as_json() for spec in self._engine.outputs],
            **example,
        }


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document)


def _error(message: str) -> Encoded:
    return Encoded(_json({"error": message}))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
