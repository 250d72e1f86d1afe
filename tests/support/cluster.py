"""A real API server for tests, and a small client that says what the server said."""

import asyncio
import copy
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml
from kubernetes import config

from hack.cluster.apiserver import ApiServer

REPOSITORY = Path(__file__).parents[2]
CRDS = REPOSITORY / "crds"

Json = dict[str, Any]


class Refused(Exception):
    """The API server refused a request; `message` is what a user of kubectl reads."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Cluster:
    """A client with the rights of a kubeconfig; objects go in and out as plain JSON values."""

    def __init__(self, kubeconfig: Path) -> None:
        settings = config.new_client_from_config(str(kubeconfig)).configuration
        tls = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if settings.cert_file:
            tls.load_cert_chain(settings.cert_file, settings.key_file)
        self._http = httpx.Client(base_url=settings.host, verify=tls, timeout=30, trust_env=False)
        self._resources: dict[tuple[str, str], Json] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request(self, method: str, path: str, body: Json | None = None, **parameters: str) -> Json:
        """Send one request and return the answer; raises Refused unless it is 2xx."""
        content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return self._send(method, path, body, content_type, parameters)

    def create(self, obj: Json, *, dry_run: bool = False) -> Json:
        """Create with strict field validation, as kubectl does."""
        body = copy.deepcopy(obj)
        return self.request("POST", self._path(obj, collection=True), body, **_strict(dry_run))

    def replace(self, obj: Json, subresource: str = "") -> Json:
        """Replace the object, or a subresource of it."""
        return self.request("PUT", self._path(obj, subresource=subresource), obj, **_strict())

    def merge(self, obj: Json, change: Json, subresource: str = "") -> Json:
        """Merge-patch the object, or a subresource of it."""
        return self.request("PATCH", self._path(obj, subresource=subresource), change, **_strict())

    def apply(self, obj: Json, manager: str = "test", subresource: str = "") -> Json:
        """Server-side apply."""
        parameters = _strict() | {"fieldManager": manager}
        path = self._path(obj, subresource=subresource)
        return self._send("PATCH", path, obj, "application/apply-patch+yaml", parameters)

    def get(self, obj: Json, subresource: str = "") -> Json:
        """Read the object that has the kind, namespace and name of `obj`."""
        return self.request("GET", self._path(obj, subresource=subresource))

    def list(self, api_version: str, kind: str, namespace: str = "", **parameters: str) -> list[Json]:
        """List objects; parameters are those of the API, such as fieldSelector."""
        example = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}}
        items: list[Json] = self.request("GET", self._path(example, collection=True), **parameters)["items"]
        return items

    def delete(self, obj: Json) -> None:
        """Delete the object."""
        self.request("DELETE", self._path(obj))

    def create_namespace(self) -> str:
        """Create a namespace with a name of its own and return the name."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def install_crds(self, folder: Path = CRDS) -> None:
        """Apply every CRD of `folder` and return when the server serves the kinds."""
        definitions = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
        for definition in definitions:
            self.apply(definition)
        for definition in definitions:
            spec = definition["spec"]
            version = spec["versions"][0]["name"]
            path = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
            wait_until(partial(self._is_served, path), f"the API server serves {path}")

    def _send(self, method: str, path: str, body: Json | None, content_type: str, parameters: dict[str, str]) -> Json:
        headers = {"Content-Type": content_type}
        response = self._http.request(method, path, json=body, params=parameters, headers=headers)
        # A group that is not served yet is answered by plain text.
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        answer: Json = response.json() if is_json else {"message": response.text}
        if response.is_success:
            return answer
        raise Refused(response.status_code, answer.get("message", response.text))

    def _is_served(self, path: str) -> bool:
        try:
            self.request("GET", path, limit="1")
        except Refused as refused:
            if refused.status == httpx.codes.NOT_FOUND:
                return False
            raise
        return True

    def _path(self, obj: Json, *, collection: bool = False, subresource: str = "") -> str:
        api_version, metadata = obj["apiVersion"], obj["metadata"]
        root = f"/api/{api_version}" if api_version == "v1" else f"/apis/{api_version}"
        resource = self._resource(root, obj["kind"])
        namespace = metadata.get("namespace", "")
        parts = [root]
        if resource["namespaced"] and namespace:
            parts += ["namespaces", namespace]
        parts.append(resource["name"])
        if not collection:
            parts.append(metadata["name"])
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def _resource(self, root: str, kind: str) -> Json:
        if (root, kind) not in self._resources:
            for resource in self.request("GET", root)["resources"]:
                if "/" not in resource["name"]:
                    self._resources[root, resource["kind"]] = resource
        return self._resources[root, kind]


def _strict(dry_run: bool = False) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Return as soon as `condition` holds; fail with `what` did not come true after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds} s it was still not so that {what}")
        time.sleep(0.05)


async def until(condition: Callable[[], bool], what: Callable[[], str], seconds: float = 20) -> None:
    """As `wait_until`, where the event loop has to go on meanwhile; `what` is asked when it did not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds:g} s it was still not so that {what()}")
        await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """One API server with etcd for the whole run."""
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="session")
def cluster(api_server: ApiServer) -> Iterator[Cluster]:
    """A client of the administrator, with the CRDs installed."""
    with Cluster(api_server.kubeconfig) as client:
        client.install_crds()
        yield client


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A fresh namespace."""
    return cluster.create_namespace()
