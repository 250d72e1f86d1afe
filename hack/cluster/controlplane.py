"""Command lines of etcd and of the Kubernetes control plane, shared by the test API server and the full cluster."""

from collections.abc import Sequence
from pathlib import Path

from hack.cluster import paths
from hack.cluster.pki import CLUSTER_CA, ETCD_CA, FRONT_PROXY_CA, Pki

SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
POD_RANGE = "10.244.0.0/16"
DOMAIN = "cluster.local"


def etcd(command: Sequence[str], pki: Pki, data: Path, client_port: int, peer_port: int) -> list[str]:
    """etcd on the loopback, TLS with client certificates; no fsync, since nothing in it must outlive the machine."""
    client, peer = f"https://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        *command,
        "--name=penstock",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=penstock={peer}",
        "--client-cert-auth",
        f"--trusted-ca-file={pki.certificate(ETCD_CA)}",
        f"--cert-file={pki.certificate('etcd-server')}",
        f"--key-file={pki.key('etcd-server')}",
        "--unsafe-no-fsync",
        "--auto-compaction-retention=1h",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ]


def apiserver(
    command: Sequence[str], pki: Pki, *, address: str, port: int, etcd_port: int, audit_log: Path
) -> list[str]:
    """kube-apiserver with TLS, RBAC and the audit log; no anonymous requests."""
    return [
        *command,
        f"--etcd-servers=https://127.0.0.1:{etcd_port}",
        f"--etcd-cafile={pki.certificate(ETCD_CA)}",
        f"--etcd-certfile={pki.certificate('etcd-client')}",
        f"--etcd-keyfile={pki.key('etcd-client')}",
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={port}",
        f"--tls-cert-file={pki.certificate('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        f"--client-ca-file={pki.certificate(CLUSTER_CA)}",
        "--authorization-mode=Node,RBAC",
        "--anonymous-auth=false",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={pki.folder / 'sa.pub'}",
        f"--service-account-signing-key-file={pki.key('sa')}",
        f"--proxy-client-cert-file={pki.certificate('front-proxy-client')}",
        f"--proxy-client-key-file={pki.key('front-proxy-client')}",
        f"--requestheader-client-ca-file={pki.certificate(FRONT_PROXY_CA)}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--audit-policy-file={paths.HERE / 'audit-policy.yaml'}",
        f"--audit-log-path={audit_log}",
        "--audit-log-maxsize=500",
        "--audit-log-maxbackup=2",
        "--profiling=false",
    ]


def controller_manager(command: Sequence[str], pki: Pki, kubeconfig: Path) -> list[str]:
    """kube-controller-manager; its default client limits alone would cost nine seconds at every start."""
    return [
        *command,
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        # After an outage of the API server that is longer than this, every node counts as dead until it
        # is heard again, and its pods are taken out of service: on one node, that would be the outage itself.
        "--node-monitor-grace-period=5m",
        "--leader-elect=false",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        "--use-service-account-credentials=true",
        "--cluster-name=penstock",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={POD_RANGE}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--root-ca-file={pki.certificate(CLUSTER_CA)}",
        f"--service-account-private-key-file={pki.key('sa')}",
        f"--cluster-signing-cert-file={pki.certificate(CLUSTER_CA)}",
        f"--cluster-signing-key-file={pki.key(CLUSTER_CA)}",
        f"--requestheader-client-ca-file={pki.certificate(FRONT_PROXY_CA)}",
        "--profiling=false",
    ]


def scheduler(command: Sequence[str], kubeconfig: Path) -> list[str]:
    """kube-scheduler."""
    return [
        *command,
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]
