"""A real API server for tests: etcd and kube-apiserver on free loopback ports, without nodes or controllers."""

import contextlib
import hashlib
import http.client
import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from hack.cluster import build, controlplane, pki
from hack.cluster.console import ClusterError

_START_SECONDS = 90
_STOP_SECONDS = 10
_ATTEMPTS = 3
# Its standard input closes when the process that made it is gone, however that ended.
_WATCHDOG = 'read -r _; for file in "$1"/*.pid; do kill -KILL "$(cat "$file")"; done; rm -rf "$1"'


class ApiServer:
    """A context manager around one etcd and one kube-apiserver, with TLS, RBAC and an audit log.

    There is no controller: namespaces end in Terminating, owners do not collect their children, and service
    accounts exist only where a test makes them (pods need none). Everything lives in a folder of its own, removed
    by `stop`, and by the end of the process that called `start`, even a sudden one. Where KUBEBUILDER_ASSETS names
    a folder, its kube-apiserver and etcd are used instead of built ones.

    Attributes:
        kubeconfig: file of the administrator.
        url: "https://127.0.0.1:<port>", the same after `stop_apiserver` and `start_apiserver`.
        audit_log: file of JSON lines, written before each response.
        ca: certificate of the authority that signed the server's certificate.
    """

    def __init__(self, extra_arguments: Sequence[str] = ()) -> None:
        self._extra = list(extra_arguments)
        self._temporary = tempfile.TemporaryDirectory(prefix="penstock-api-", ignore_cleanup_errors=True)
        self._folder = Path(self._temporary.name)
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._pki = pki.Pki(self._folder / "pki")
        self._etcd: subprocess.Popen[bytes] | None = None
        self._apiserver: subprocess.Popen[bytes] | None = None
        self._etcd_port = self._port = 0
        self.kubeconfig = self._folder / "kubeconfig"
        self.audit_log = self._folder / "audit.log"
        self.ca = self._pki.certificate(pki.CLUSTER_CA)
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts both processes and returns when the API server is ready. Raises ClusterError if it never is."""
        self._watchdog = self._watch()
        pki.control_plane(self._folder / "pki", ["127.0.0.1", controlplane.API_SERVICE_ADDRESS])
        for attempt in range(_ATTEMPTS):
            self._etcd_port, peer_port, self._port = _free_ports(3)
            self.url = f"https://127.0.0.1:{self._port}"
            data = self._folder / f"etcd-{attempt}"
            command = controlplane.etcd([str(_etcd_binary())], self._pki, data, self._etcd_port, peer_port)
            self._etcd = self._spawn("etcd", command)
            try:
                self.start_apiserver()
            except _PortTaken:
                self._end_both()
                continue
            self._pki.kubeconfig("admin", self.url, self.kubeconfig)
            return
        raise ClusterError(f"No free ports were found in {_ATTEMPTS} attempts; try again.")

    def stop(self) -> None:
        """Ends both processes and removes the folder; a second call does nothing."""
        self._end_both()
        self._temporary.cleanup()
        if self._watchdog is not None:
            self._watchdog.communicate()
            self._watchdog = None

    def start_apiserver(self) -> None:
        """Starts kube-apiserver on the port it had, and returns when it is ready."""
        command = controlplane.apiserver(
            _apiserver_command(),
            self._pki,
            address="127.0.0.1",
            port=self._port,
            etcd_port=self._etcd_port,
            audit_log=self.audit_log,
        )
        # Nobody publishes endpoints or default service accounts here, so nothing may wait for them.
        alone = ["--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount"]
        self._apiserver = self._spawn("kube-apiserver", [*command, *alone, *self._extra])
        self._wait_ready()

    def stop_apiserver(self) -> None:
        """Ends kube-apiserver, so that clients see connections refused; etcd and all objects stay."""
        self._end("kube-apiserver", self._apiserver)
        self._apiserver = None

    def client_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Issues a client certificate for `user` in `groups` and returns a kubeconfig that uses it.

        The user has only the rights that RBAC objects in the server give him.
        """
        subject = pki.subject(user, groups)
        name = "user-" + hashlib.sha256(subject.encode()).hexdigest()[:12]
        self._pki.issue(name, pki.CLUSTER_CA, subject, usage="clientAuth")
        return self._pki.kubeconfig(name, self.url, self._folder / f"{name}.kubeconfig")

    def log(self, component: str, last: int = 20) -> str:
        """The last lines of the log of "etcd" or "kube-apiserver"."""
        path = self._folder / f"{component}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-last:]) if path.exists() else ""

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        output: IO[bytes]
        with (self._folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                start_new_session=True,
            )
        (self._folder / f"{name}.pid").write_text(str(process.pid))
        return process

    def _wait_ready(self) -> None:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self._pki.certificate("admin"), self._pki.key("admin"))
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            for name, process in (("etcd", self._etcd), ("kube-apiserver", self._apiserver)):
                if process is not None and process.poll() is not None:
                    report = self.log(name)
                    if "address already in use" in report:
                        raise _PortTaken
                    raise ClusterError(f"{name} ended with code {process.returncode}; its last lines:\n{report}")
            if _is_ready(self._port, context):
                return
            time.sleep(0.05)
        raise ClusterError(
            f"kube-apiserver was not ready after {_START_SECONDS} s; its last lines:\n{self.log('kube-apiserver')}"
        )

    def _end_both(self) -> None:
        # An API server that has lost etcd takes ten seconds longer to end.
        self.stop_apiserver()
        self._end("etcd", self._etcd)
        self._etcd = None

    def _end(self, name: str, process: subprocess.Popen[bytes] | None) -> None:
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        (self._folder / f"{name}.pid").unlink()

    def _watch(self) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        command = ["sh", "-c", _WATCHDOG, "sh", str(self._folder)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, cwd="/", start_new_session=True
        )


class _PortTaken(Exception):
    """Somebody else took a port between its choice and its use."""


def _is_ready(port: int, context: ssl.SSLContext) -> bool:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _assets(name: str) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return None
    path = Path(folder) / name
    if not path.is_file():
        raise ClusterError(f"KUBEBUILDER_ASSETS is {folder}, which holds no {name}; correct or unset it.")
    return path


def _etcd_binary() -> Path:
    return _assets("etcd") or build.binary("etcd")


def _apiserver_command() -> list[str]:
    asset = _assets("kube-apiserver")
    return [str(asset)] if asset else [str(build.binary("kube")), "kube-apiserver"]
