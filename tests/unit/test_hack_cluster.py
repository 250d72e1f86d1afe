import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from hack.cluster import build, cluster, oci, paths, pki
from hack.cluster.__main__ import main
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.daemons import Daemons, wait_for
from hack.cluster.handle import Cluster, from_info, saved
from hack.cluster.native import host, teardown
from hack.cluster.native.host import PACKAGES
from hack.cluster.native.layout import Layout
from hack.cluster.versions import load, number

MODULES = {
    "kube": "kubernetes",
    "etcd": "etcd",
    "coredns": "coredns",
    "registry": "registry",
    "versitygw": "versitygw",
    "helm": "helm",
    "envoy-gateway": "envoy-gateway",
    "prometheus": "prometheus",
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLUSTER", raising=False)


def some_cluster(state: Path) -> Cluster:
    return Cluster(
        provider="native",
        kubeconfig=state / "kubeconfig",
        node_ip="10.0.0.1",
        registry="10.0.0.1:5000",
        gateway_url="http://10.0.0.1:8080",
        audit_log=None,
        state_dir=state,
        kubectl_command=state / "kubectl",
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [("go1.26.8\n", (1, 26, 8)), ("v1.34.10", (1, 34, 10)), ("go1.27rc1", (1, 27)), ("1.26", (1, 26)), ("", ())],
)
def test_version_numbers(text, parts):
    assert number(text) == parts


@pytest.mark.parametrize(("name", "part"), MODULES.items())
def test_go_modules_require_the_versions_of_the_table(name, part):
    module = (paths.HERE / "build" / name / "go.mod").read_text()
    entry = load()[part]
    required = rf"{re.escape(entry['module'])} {re.escape(entry['version'])}"
    assert re.search(rf"^(require )?\s*{required}(?: // indirect)?$", module, re.MULTILINE)
    assert number(re.search(r"^go (\S+)$", module, re.MULTILINE)[1]) <= number(load()["go"]["version"])


def test_kubernetes_modules_are_replaced_by_one_release():
    replaced = re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ (\S+)$", (paths.HERE / "build/kube/go.mod").read_text(), re.M)
    assert set(replaced) == {"v0." + load()["kubernetes"]["version"].removeprefix("v1.")}


def test_cache_key_follows_every_input(tmp_path):
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.go").write_text("package main")
    key = build.cache_key(module, ["-s"], "1.26.8")
    assert re.fullmatch("[0-9a-f]{12}", key)
    assert build.cache_key(module, ["-s"], "1.26.8") == key
    others = {build.cache_key(module, ["-w"], "1.26.8"), build.cache_key(module, ["-s"], "1.26.9")}
    (module / "main.go").write_text("package other")
    others.add(build.cache_key(module, ["-s"], "1.26.8"))
    (module / "main.go").rename(module / "other.go")
    others.add(build.cache_key(module, ["-s"], "1.26.8"))
    assert len(others - {key}) == 4


def test_binaries_carry_their_version():
    release = load()["kubernetes"]["version"]
    assert f"-X=k8s.io/component-base/version.gitVersion={release}" in build.linker_flags("kube")
    assert build.linker_flags("pause") == ["-s", "-w"]


def test_an_unknown_binary_is_one_sentence():
    with pytest.raises(ClusterError, match="nothing to build called 'nothing'"):
        build.binary("nothing")


def test_cluster_survives_its_info(tmp_path):
    known = some_cluster(tmp_path)
    assert saved(tmp_path) is None
    known.save()
    assert saved(tmp_path) == known == from_info(json.loads(json.dumps(known.info())))


def test_cluster_info_keys(tmp_path):
    keys = {"provider", "kubeconfig", "nodeIP", "registry", "gatewayURL", "auditLog", "stateDir", "kubectl"}
    assert set(some_cluster(tmp_path).info()) == keys


def test_info_without_a_cluster_says_how_to_start_one(capsys):
    assert main(["info"]) == 1
    assert capsys.readouterr() == ("", "error: No cluster runs; start one with: make cluster-up\n")


def test_down_without_a_cluster_is_no_error(capsys):
    assert main(["down"]) == 0
    assert "nothing runs" in capsys.readouterr().err


def test_provider_can_be_chosen(monkeypatch):
    monkeypatch.setenv("CLUSTER", "existing")
    assert cluster.provider() == "existing"
    monkeypatch.setenv("CLUSTER", "minikube")
    with pytest.raises(ClusterError, match="set it to one of native, kind, existing"):
        cluster.provider()


def test_existing_cluster_asks_for_what_it_cannot_know(monkeypatch, capsys):
    monkeypatch.setenv("CLUSTER", "existing")
    monkeypatch.delenv("PENSTOCK_REGISTRY", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert main(["up"]) == 1
    assert "set PENSTOCK_REGISTRY to" in capsys.readouterr().err


def test_long_state_paths_are_refused(tmp_path):
    with pytest.raises(ClusterError, match="set PENSTOCK_CACHE to a shorter folder"):
        _ = Layout(tmp_path / ("long" * 30)).socket


def test_packages_are_named_for_those_who_are_not_root(monkeypatch):
    from hack.cluster.native import host

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setitem(PACKAGES, "containernetworking-plugins", "/nowhere/bridge")
    with pytest.raises(ClusterError, match=r"sudo apt-get install .* containerd runc containernetworking-plugins"):
        host.install_packages()


@pytest.mark.parametrize(
    ("user", "groups", "subject"),
    [("jane", [], "/CN=jane"), ("a/b+c", ["x", "y/z"], "/O=x/O=y\\/z/CN=a\\/b\\+c")],
)
def test_certificate_subjects(user, groups, subject):
    assert pki.subject(user, groups) == subject


def test_certificates_name_user_and_groups(tmp_path):
    keys = pki.Pki(tmp_path / "pki")
    keys.authority(pki.CLUSTER_CA)
    keys.issue("jane", pki.CLUSTER_CA, pki.subject("jane/x", ["team"]), usage="clientAuth")
    shown = ["openssl", "x509", "-in", keys.certificate("jane"), "-noout", "-subject", "-ext", "extendedKeyUsage"]
    text = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    assert "O = team, CN = jane/x" in text
    assert "TLS Web Client Authentication" in text
    verify = ["openssl", "verify", "-CAfile", keys.certificate(pki.CLUSTER_CA), keys.certificate("jane")]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    before = keys.certificate("jane").read_bytes()
    keys.issue("jane", pki.CLUSTER_CA, "/CN=other", usage="clientAuth")
    assert keys.certificate("jane").read_bytes() == before
    path = keys.kubeconfig("jane", "https://127.0.0.1:1", tmp_path / "kubeconfig")
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"


def test_image_archives_are_reproducible_and_consistent(tmp_path):
    (tmp_path / "tool").write_bytes(b"content")
    for name in ("a.tar", "b.tar"):
        oci.write(tmp_path / name, "example.local/tool:1", {"/tool": tmp_path / "tool"}, ["/tool"])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:

        def blob(descriptor):
            return archive.extractfile("blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")).read()

        entry = json.load(archive.extractfile("index.json"))["manifests"][0]
        manifest = json.loads(blob(entry))
        assert entry["annotations"]["org.opencontainers.image.ref.name"] == "example.local/tool:1"
        assert json.loads(blob(manifest["config"]))["config"]["Entrypoint"] == ["/tool"]
        assert len(blob(manifest["layers"][0])) == manifest["layers"][0]["size"]


def test_daemons_are_found_again_and_stopped(tmp_path):
    daemons = Daemons(tmp_path / "run", tmp_path / "log")
    assert daemons.start("sleeper", ["sleep", "100"])
    try:
        again = Daemons(tmp_path / "run", tmp_path / "log")
        assert again.alive("sleeper")
        assert not again.start("sleeper", ["sleep", "100"])
    finally:
        daemons.stop("sleeper")
    assert not daemons.alive("sleeper")


def test_cgroups_of_a_kubelet_that_was_killed_are_no_second_kubelet(tmp_path, monkeypatch):
    here = Layout(tmp_path / "state")
    pod = tmp_path / "kubepods" / "besteffort" / "pod"
    pod.mkdir(parents=True)
    for group in (pod, pod.parent, pod.parent.parent):
        (group / "cgroup.procs").write_text("")
    monkeypatch.setattr(host, "cgroups", lambda: [tmp_path / "kubepods"])
    host.refuse_second_kubelet(here)
    (pod / "cgroup.procs").write_text("4711\n")
    with pytest.raises(ClusterError, match="CLUSTER=existing"):
        host.refuse_second_kubelet(here)


def test_a_cluster_of_another_folder_is_cleared_once_it_is_dead(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs" / "cluster"
    cleared = []
    monkeypatch.setattr(host, "owner", lambda: theirs)
    monkeypatch.setattr(host, "cgroups", list)
    monkeypatch.setattr(teardown, "stop_everything", lambda layout, watch: cleared.append(layout.state))
    daemons = Daemons(tmp_path / "run", tmp_path / "logs")
    daemons.start("apiserver", ["bash", "-c", f"exec -a 'kube-apiserver --audit-log={theirs}/log' sleep 60"])
    wait_for(
        "another name", lambda: _command(daemons.pid("apiserver")).startswith("kube-apiserver"), seconds=10, hint=""
    )
    try:
        with pytest.raises(ClusterError, match=f"PENSTOCK_CACHE={theirs.parent} "):
            teardown.make_room(Layout(tmp_path / "ours"), Stopwatch())
    finally:
        daemons.stop("apiserver")
    assert not cleared
    theirs.mkdir(parents=True)
    (theirs / "kernel-settings.json").write_text("{}")
    teardown.make_room(Layout(theirs), Stopwatch())
    assert not cleared, "its own cluster goes on from where it was"
    pods = tmp_path / "kubepods"
    pods.mkdir()
    (pods / "cgroup.procs").write_text("4711\n")
    monkeypatch.setattr(host, "cgroups", lambda: [pods])
    with pytest.raises(ClusterError, match="CLUSTER=existing"):
        teardown.make_room(Layout(tmp_path / "ours"), Stopwatch())
    assert not cleared, "another kubelet's pods stay"
    monkeypatch.setattr(host, "cgroups", list)
    teardown.make_room(Layout(tmp_path / "ours"), Stopwatch())
    (theirs / "kernel-settings.json").unlink()
    teardown.make_room(Layout(theirs), Stopwatch())
    assert cleared == [theirs, theirs], "its own folder was emptied"


def _command(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_a_reused_pid_is_not_taken_for_a_daemon(tmp_path):
    daemons = Daemons(tmp_path / "run", tmp_path / "log")
    daemons.start("sleeper", ["sleep", "100"])
    pid_file = tmp_path / "run" / "sleeper.pid"
    known = pid_file.read_text()
    try:
        pid_file.write_text(f"{known.split()[0]} 1\n")
        assert daemons.pid("sleeper") is None
    finally:
        pid_file.write_text(known)
        daemons.stop("sleeper")


def test_waiting_ends_with_what_to_look_at():
    with pytest.raises(ClusterError, match="the sun did not happen within 0 s; look outside"):
        wait_for("the sun", lambda: False, seconds=0, hint="look outside")
