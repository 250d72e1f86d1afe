"""Keys, certificates and kubeconfig files of a cluster, made with the openssl command."""

import base64
import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hack.cluster.console import ClusterError

DAYS = "3650"
CLUSTER_CA = "kubernetes-ca"
FRONT_PROXY_CA = "front-proxy-ca"
ETCD_CA = "etcd-ca"


@dataclasses.dataclass(frozen=True)
class Pki:
    """A folder of `<name>.crt` and `<name>.key` files. Nothing that exists is made again."""

    folder: Path

    def certificate(self, name: str) -> Path:
        """Where the certificate of that name is."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Where the private key of that name is."""
        return self.folder / f"{name}.key"

    def authority(self, name: str) -> None:
        """Makes a certificate authority."""
        if self.certificate(name).exists():
            return
        self._prepare()
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"]
        added = [part for extension in extensions for part in ("-addext", extension)]
        made = self._partial(name)
        self._openssl("req", "-x509", *self._new_key(name), "-subj", f"/CN={name}", "-days", DAYS, *added, "-out", made)
        made.replace(self.certificate(name))

    def issue(self, name: str, authority: str, subject: str, *, usage: str, names: Sequence[str] = ()) -> None:
        """Makes a key and a certificate signed by `authority`.

        `subject` is openssl's form, "/O=group/CN=user"; `usage` is "serverAuth", "clientAuth" or both with a comma;
        `names` are the subject alternative names, "DNS:host" or "IP:address".
        """
        if self.certificate(name).exists():
            return
        self._prepare()
        lines = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
        lines.append(f"extendedKeyUsage={usage}")
        if names:
            lines.append("subjectAltName=" + ",".join(names))
        request, extensions, made = self.folder / f"{name}.csr", self.folder / f"{name}.ext", self._partial(name)
        extensions.write_text("\n".join(lines) + "\n")
        self._openssl("req", "-new", *self._new_key(name), "-subj", subject, "-out", request)
        signer: list[str | Path] = ["-CA", self.certificate(authority), "-CAkey", self.key(authority)]
        signer += ["-set_serial", str(int.from_bytes(os.urandom(15), "big"))]
        self._openssl("x509", "-req", "-in", request, *signer, "-days", DAYS, "-extfile", extensions, "-out", made)
        made.replace(self.certificate(name))
        request.unlink()
        extensions.unlink()

    def service_account_key(self) -> None:
        """Makes the RSA pair that signs and checks service-account tokens: sa.key and sa.pub."""
        public = self.folder / "sa.pub"
        if public.exists():
            return
        self._prepare()
        self._openssl("genrsa", "-out", self.key("sa"), "2048")
        self._openssl("rsa", "-in", self.key("sa"), "-pubout", "-out", public)
        self.key("sa").chmod(0o600)

    def kubeconfig(self, name: str, server: str, path: Path) -> Path:
        """Writes a self-contained kubeconfig for the client certificate `name`, readable by its owner only."""
        user = {
            "client-certificate-data": _base64(self.certificate(name)),
            "client-key-data": _base64(self.key(name)),
        }
        cluster = {"server": server, "certificate-authority-data": _base64(self.certificate(CLUSTER_CA))}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "penstock", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "penstock", "context": {"cluster": "penstock", "user": name}}],
            "current-context": "penstock",
        }
        partial = path.with_name(f".{path.name}.partial")
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(document, indent=1) + "\n")
        partial.replace(path)
        return path

    def _new_key(self, name: str) -> list[str | Path]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return [*curve, "-nodes", "-sha256", "-keyout", self.key(name)]

    def _partial(self, name: str) -> Path:
        return self.folder / f"{name}.crt.partial"

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _openssl(self, *arguments: str | Path) -> None:
        if shutil.which("openssl") is None:
            raise ClusterError("The openssl command is missing: apt-get install -y openssl.")
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def subject(user: str, groups: Sequence[str] = ()) -> str:
    """The openssl subject of a Kubernetes user with groups."""

    def escaped(text: str) -> str:
        return "".join("\\" + character if character in "/+\\" else character for character in text)

    return "".join(f"/O={escaped(group)}" for group in groups) + f"/CN={escaped(user)}"


def control_plane(folder: Path, addresses: Sequence[str], hosts: Sequence[str] = ()) -> Pki:
    """The keys every API server needs: authorities, etcd, serving, aggregation, service accounts and the admin.

    `addresses` and `hosts` are what the API server's certificate is valid for, beside its in-cluster names.
    """
    pki = Pki(folder)
    for authority in (CLUSTER_CA, FRONT_PROXY_CA, ETCD_CA):
        pki.authority(authority)
    in_cluster = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    names = [f"DNS:{host}" for host in ("localhost", *in_cluster, *hosts)] + [f"IP:{address}" for address in addresses]
    etcd_names = ["DNS:localhost", "IP:127.0.0.1"]
    pki.issue("etcd-server", ETCD_CA, "/CN=etcd", usage="serverAuth,clientAuth", names=etcd_names)
    pki.issue("etcd-client", ETCD_CA, "/CN=kube-apiserver", usage="clientAuth")
    pki.issue("apiserver", CLUSTER_CA, "/CN=kube-apiserver", usage="serverAuth", names=names)
    pki.issue("front-proxy-client", FRONT_PROXY_CA, "/CN=front-proxy-client", usage="clientAuth")
    pki.issue("admin", CLUSTER_CA, subject("penstock-admin", ["system:masters"]), usage="clientAuth")
    pki.service_account_key()
    return pki


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
