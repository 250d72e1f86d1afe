"""The ASGI application: the routes of the Open Inference Protocol v2 for one model."""

import logging
import time
from enum import Enum
from typing import Any

import orjson

from penstock.runtime.engine import Engine
from penstock.runtime.errors import RequestError, quoted
from penstock.runtime.http import ClientGone, Headers, Receive, Scope, Send, read_body, request_id, respond
from penstock.runtime.json_codec import decode_call, encode_answer
from penstock.runtime.metrics import Metrics
from penstock.runtime.settings import Settings

SERVER_VERSION = "0.1.0"
_PLATFORMS = {"ONNX": "onnx_onnxv1", "Skops": "sklearn_skops"}
_log = logging.getLogger(__name__)


class Phase(Enum):
    """From readiness to the end: while leaving, requests are answered but readiness is denied."""

    SERVING = 1
    LEAVING = 2
    STOPPED = 3


class App:
    """Answers every request; `phase` is moved by the server."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, example: bytes | None = None) -> None:
        self.phase = Phase.SERVING
        self._engine, self._settings, self._metrics = engine, settings, metrics
        self._example = example
        self._in_flight = 0
        metrics.watch_in_flight(lambda: self._in_flight)
        self._identity = [
            (b"x-penstock-model", settings.model_name.encode()),
            (b"x-penstock-revision", settings.revision.encode()),
            (b"x-penstock-digest", settings.digest.encode()),
        ]
        model = f"/v2/models/{settings.model_name}"
        version = f"{model}/versions/{settings.revision}"
        self._infer_paths = frozenset({f"{model}/infer", f"{version}/infer"})
        self._documents = {"/v2": _json({"name": "penstock", "version": SERVER_VERSION, "extensions": []})}
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
                status, body = 200, await self._infer(scope["headers"], receive, identifier.decode())
            else:
                status, body = self._get(scope["method"], path)
        except RequestError as error:
            status, body = error.status, _json({"error": error.message})
            headers.extend(error.headers)
        except ClientGone:
            return
        except Exception as error:
            _log.exception("request %s failed", identifier.decode())
            status, body = (
                500,
                _json({"error": f"the model failed ({_first_line(error)}); request {identifier.decode()}"}),
            )
        if is_inference:
            self._metrics.answered(status, time.perf_counter() - start)
        await respond(send, status, headers, body)

    async def _infer(self, headers: Headers, receive: Receive, identifier: str) -> bytes:
        if self.phase is Phase.STOPPED:
            raise _busy("the server is stopping")
        if self._in_flight >= self._settings.max_in_flight:
            raise _busy(f"{self._in_flight} requests are in flight, which is the limit")
        if any(name == b"inference-header-content-length" for name, _ in headers):
            raise RequestError(400, "binary tensors are not supported: send the tensors as JSON")
        self._in_flight += 1
        try:
            body = await read_body(headers, receive, self._settings.max_body_bytes, self._settings.body_seconds)
            call = decode_call(body)
            answer = await self._engine.infer(call)
            return encode_answer(answer, call.identifier or identifier)
        finally:
            self._in_flight -= 1

    def _get(self, method: str, path: str) -> tuple[int, bytes]:
        known = path in self._documents or path in self._ready_paths or path == "/v2/health/live"
        if path in self._infer_paths or (known and method != "GET"):
            allowed = "POST" if path in self._infer_paths else "GET"
            raise RequestError(
                405, f"{quoted(method)} is not possible here, use {allowed}", ((b"allow", allowed.encode()),)
            )
        if path in self._documents:
            return 200, self._documents[path]
        if path == "/v2/health/live":
            return 200, _json({"live": True})
        if path in self._ready_paths:
            ready = self.phase is Phase.SERVING
            return 200 if ready else 503, _json({**self._ready_paths[path], "ready": ready})
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
