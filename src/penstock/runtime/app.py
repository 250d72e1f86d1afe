"""The ASGI application: the routes of the Open Inference Protocol v2 for one model."""

import logging
import time
from enum import Enum
from typing import Any

import orjson

from penstock.runtime.calls import Encoded
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
from penstock.runtime.settings import Settings

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
    ) -> None:
        self.phase = Phase.SERVING
        self._engine, self._settings, self._metrics = engine, settings, metrics
        self._capture, self._example = capture, example
        self._in_flight = 0
        # A request that would wait longer than its client is better off elsewhere.
        in_time = max(_LEAST_IN_FLIGHT, engine.requests_within(settings.queue_seconds))
        self._most_in_flight = int(min(settings.max_in_flight, in_time))
        metrics.watch_in_flight(lambda: self._in_flight)
        self._identity = [
            (b"x-penstock-model", settings.model_name.encode()),
            (b"x-penstock-revision", settings.revision.encode()),
            (b"x-penstock-digest", settings.digest.encode()),
        ]
        model = f"/v2/models/{settings.model_name}"
        version = f"{model}/versions/{settings.revision}"
        self._infer_paths = frozenset({f"{model}/infer", f"{version}/infer"})
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
        try:
            if is_inference:
                status, answer = 200, await self._infer(scope["headers"], receive, identifier.decode(), start)
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
            self._metrics.answered(status, time.perf_counter() - start)
        await respond(send, status, headers, answer)

    async def _infer(self, headers: Headers, receive: Receive, identifier: str, start: float) -> Encoded:
        if self.phase is Phase.STOPPED:
            raise _busy("the server is stopping")
        if self._in_flight >= self._most_in_flight:
            raise _busy(f"{self._in_flight} requests are in flight, which is the limit")
        self._in_flight += 1
        try:
            body = await read_body(headers, receive, self._settings.max_body_bytes, self._settings.body_seconds)
            call = decode_call(body, json_size(headers))
            answer = await self._engine.infer(call)
            identifier = call.identifier or identifier
            encoded = encode_answer(answer, identifier, call.form)
            if self._capture is not None:
                self._capture.note(answer, identifier, time.perf_counter() - start)
            return encoded
        finally:
            self._in_flight -= 1

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
            "inputs": [spec.as_json() for spec in self._engine.inputs],
            "outputs": [spec.as_json() for spec in self._engine.outputs],
            **example,
        }


def _busy(why: str) -> RequestError:
    return RequestError(503, f"{why}; try again", ((b"retry-after", b"1"),))


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document)


def _error(message: str) -> Encoded:
    return Encoded(_json({"error": message}))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
