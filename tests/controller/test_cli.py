"""The plugin and the auditor's tools as processes, with the operator on a real API server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.cli import kubectl, main
from penstock.controllers.resources import DECISIONRECORDS, MODELACTIONS
from tests.controller.world import World, digest, spec_of

Json = dict[str, Any]

APPROVAL = {"approval": {"required": True}}


@dataclass
class Terminal:
    """Runs commands as a person with that kubeconfig; the namespace is that of its context."""

    kubeconfig: Path

    async def __call__(self, *command: str) -> tuple[int, str, str]:
        """Run `kubectl penstock`; return the exit status and what it said."""
        return await asyncio.to_thread(self._run, kubectl.main, command)

    async def penstock(self, *command: str) -> tuple[int, str, str]:
        """Run `penstock`."""
        return await asyncio.to_thread(self._run, main.main, command)

    def _run(self, program: Callable[[Sequence[str]], int], command: Sequence[str]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = program([*command, "--kubeconfig", str(self.kubeconfig)])
        return code, out.getvalue(), err.getvalue()


@pytest.fixture
def terminal(world: World, tmp_path: Path) -> Terminal:
    """A kubeconfig of the person's own whose context names the namespace."""

    config = yaml.safe_load(world.server.kubeconfig.read_text())
    for item in config["contexts"]:
        item["context"]["namespace"] = world.namespace
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    return Terminal(path)


async def test_a_release_by_the_plugin(world: World, terminal: Terminal) -> None:
    world.operator()
    old = await deploy_approved(world, terminal)
    code, out, _ = await terminal("status", "flight", "--timeout", "30s")
    assert (code, out) == (0, f"Revision {old} serves all traffic\n")

    new = await world.edit(artifact={"digest": digest("b")})
    code, out, err = await terminal("status", "flight", "--timeout", "30s")
    assert code == 4, err
    assert out.startswith(f"Revision {new} waits for approval: 0 of 1 approvals of evidence sha256:")

    code, out, _ = await terminal("get", "flight")
    assert code == 0
    evidence = (await world.status())["candidate"]["evidenceDigest"]
    for line in (
        f"Model {world.namespace}/flight: ",
        f"├─ stable {old}: 100 %, 1 of 1 pods ready, sha256:",
        f"├─ candidate {new}: ",
        "stage AwaitingApproval since ",
        f"evidence {evidence}",
        f"pod flight-{new}-",
    ):
        assert line in out, out

    code, out, _ = await terminal("why", "flight")
    assert f"Revision {new} is in AwaitingApproval since " in out
    assert f"An approval has to name the evidence {evidence}: kubectl penstock approve shows it." in out

    code, out, err = await terminal("approve", "flight", "--reason", "fine")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[:2] == [f"Revision {new} of Model flight", f"Evidence {evidence}"]
    assert lines[-1].startswith("Done: ")
    assert f"approves revision {new} (1 of 1)" in lines[-1]
    code, out, _ = await terminal("status", "flight", "--timeout", "30s")
    assert (code, out) == (0, f"Revision {new} serves all traffic\n")
    (approval,) = [
        obj
        for obj in (await world.client.list(MODELACTIONS, world.namespace))[0]
        if obj["spec"]["action"] == "Approve" and obj["spec"]["revision"] == new
    ]
    assert approval["spec"]["evidenceDigest"] == evidence
    assert approval["spec"]["reason"] == "fine"

    code, out, _ = await terminal("rollback", "flight", "--reason", "customers complain")
    assert code == 0, out
    code, out, _ = await terminal("status", "flight", "--timeout", "30s")
    assert code == 2, out
    assert out.startswith(f"Revision {old} was asked for as a way back")
    code, out, _ = await terminal("why", "flight", "--last", "20")
    assert "customers complain" in out

    code, out, _ = await terminal("retry", "flight", "--revision", new)
    assert code == 2
    assert out.splitlines()[-1].startswith("Refused (Quarantined): ")
    code, out, _ = await terminal("release", "flight", "--reason", "they were wrong")
    assert code == 0, out

    code, out, _ = await terminal("audit", "flight", "-o", "csv")
    rows = out.splitlines()
    assert rows[0] == "sequence,time,actor,rule,verdict,message"
    assert len(rows) - 1 == (await world.status())["sequence"]
    code, out, err = await terminal("replay", "flight")
    assert (code, out) == (0, f"{world.namespace}/flight: {len(rows) - 1} decisions come out as they were recorded\n")


async def deploy_approved(world: World, terminal: Terminal) -> str:
    """Deploy a Model that needs approval, and approve its first revision."""
    revision = await world.deploy(spec_of(rollout=APPROVAL))
    await world.reaches("AwaitingApproval")
    code, out, err = await terminal("approve", "flight")
    assert code == 0, out + err
    await world.serves(revision)
    return revision


async def test_it_is_an_executable_that_takes_the_environments_kubeconfig(world: World, terminal: Terminal) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "penstock.cli.kubectl",
        "get",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(terminal.kubeconfig)},
    )
    out, _ = await process.communicate()
    assert (process.returncode, out.decode()) == (0, f"There are no Models in {world.namespace}.\n")


async def test_logins_by_exec_plugins_work(world: World, terminal: Terminal, tmp_path: Path) -> None:
    config = yaml.safe_load(terminal.kubeconfig.read_text())
    (user,) = [item for item in config["users"] if item["name"] == config["contexts"][0]["context"]["user"]]
    own = user["user"]
    status = {}
    for name, key in (("clientCertificateData", "client-certificate"), ("clientKeyData", "client-key")):
        data = own.get(f"{key}-data")
        status[name] = base64.b64decode(data).decode() if data else Path(own[key]).read_text()
    api_version = "client.authentication.k8s.io/v1"
    (tmp_path / "login.json").write_text(
        json.dumps({"apiVersion": api_version, "kind": "ExecCredential", "status": status})
    )
    plugin = {"apiVersion": api_version, "command": "cat", "args": [str(tmp_path / "login.json")]}
    user["user"] = {"exec": {**plugin, "interactiveMode": "Never"}}
    (tmp_path / "exec").write_text(yaml.safe_dump(config))
    code, out, err = await Terminal(tmp_path / "exec")("get")
    assert (code, out) == (0, f"There are no Models in {world.namespace}.\n"), err


async def test_watch_shows_every_change(world: World, terminal: Terminal) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "penstock.cli.kubectl",
        "get",
        "-w",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(terminal.kubeconfig)},
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"There are no Models")
    await world.deploy()
    assert (await process.stdout.readline()).startswith(b"MODEL")
    assert (await process.stdout.readline()).startswith(b"flight")
    process.terminate()
    await process.wait()


@pytest.mark.parametrize("command", [[], ["reject", "flight"], ["status", "flight", "--timeout", "soon"], ["nothing"]])
def test_wrong_usage_is_no_answer_about_a_model(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        kubectl.main(command)
    assert ended.value.code == 1
    assert "usage: kubectl penstock" in capsys.readouterr().err


async def test_what_the_cluster_refuses_is_said(world: World, terminal: Terminal, tmp_path: Path) -> None:
    await world.deploy()
    config = yaml.safe_load(world.server.client_kubeconfig("nobody").read_text())
    for item in config["contexts"]:
        item["context"]["namespace"] = world.namespace
    (tmp_path / "nobody").write_text(yaml.safe_dump(config))
    code, _, err = await Terminal(tmp_path / "nobody")("get", "flight")
    assert code == 1
    assert err.startswith('penstock: models.penstock.dev "flight" is forbidden: User "nobody"')
    code, _, err = await terminal("get", "flight", "--context", "elsewhere")
    assert (code, err) == (1, "penstock: The kubeconfig has no context elsewhere.\n")


async def test_nothing_is_approved_where_nobody_asks(world: World, terminal: Terminal) -> None:
    world.operator()
    stable = await world.serving()
    code, _, err = await terminal("approve", "flight")
    assert (code, err) == (1, "penstock: No revision of flight is under way.\n")
    code, _, err = await terminal("get", "nothing")
    assert (code, err) == (1, f"penstock: There is no Model nothing in namespace {world.namespace}.\n")
    code, _, err = await terminal("release", "flight", "--reason", "x")
    assert (code, err) == (1, "penstock: No revision of flight is quarantined.\n")
    code, out, _ = await terminal("evaluate", "flight")
    assert code == 2
    assert out.startswith(f"Evaluate revision {stable} of flight as ")
    assert out.splitlines()[1].startswith("Refused (NoGates): ")
    assert "The Model names no gates" in out
    code, out, _ = await terminal("get", "-o", "json")
    assert [obj["metadata"]["name"] for obj in json.loads(out)] == ["flight"]
    code, out, _ = await terminal("get")
    assert out.splitlines()[1].split()[:2] == ["flight", "Serving"]


async def test_rejected_revision_ends_the_wait(world: World, terminal: Terminal) -> None:
    world.operator()
    await deploy_approved(world, terminal)
    new = await world.edit(artifact={"digest": digest("b")})
    await world.reaches("AwaitingApproval")
    waiting = asyncio.create_task(terminal("reject", "flight", "--reason", "unfair to night flights"))
    assert (await waiting)[0] == 0
    code, out, _ = await terminal("status", "flight", "--timeout", "30s")
    assert code == 2
    assert "unfair to night flights" in out
    code, out, _ = await terminal("why", "flight")
    assert f"Revision {new} was rejected at " in out
    assert "because of Rejected: " in out
    assert "decided by rule AwaitingApproval/RejectAsked for " in out


async def test_status_says_that_time_is_over(world: World, terminal: Terminal) -> None:
    await world.deploy()
    code, out, _ = await terminal("status", "flight", "--no-wait")
    assert (code, out) == (3, "The operator has not looked at the present spec yet.\n")
    code, out, _ = await terminal("status", "flight", "--timeout", "0s")
    assert code == 3


async def test_auditor_proves_the_log_and_finds_what_was_done_to_it(
    world: World, terminal: Terminal, tmp_path: Path
) -> None:
    operator = world.operator()
    await world.serving()
    await world.serves(await world.edit(artifact={"digest": digest("b")}))
    records = await world.records()
    name = f"{world.namespace}/flight"
    code, out, _ = await terminal.penstock("audit", "verify")
    assert (code, out) == (0, f"{name}: records 1 to {len(records)} are one chain\n")

    exported = tmp_path / "log.jsonl"
    code, _, err = await terminal.penstock("audit", "export", "--model", "flight", "--out", str(exported))
    assert code == 0, err
    for command in (("audit", "verify"), ("replay",)):
        code, out, _ = await terminal.penstock(*command, str(exported))
        assert code == 0, out
    lines = exported.read_text().splitlines()
    exported.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    code, out, _ = await terminal.penstock("audit", "verify", str(exported))
    assert (code, out) == (1, f"{name}: record 3 is missing before record 4\n")
    exported.write_text("\n".join(lines).replace('"actor":"penstock"', '"actor":"eve"', 1) + "\n")
    code, out, _ = await terminal.penstock("audit", "verify", str(exported))
    assert code == 1
    assert "does not have the content its hash was made from" in out

    await operator.stop()
    await world.client.delete(DECISIONRECORDS, world.namespace, records[-1]["metadata"]["name"])
    code, out, _ = await terminal.penstock("audit", "verify", "--model", "flight")
    shown = len(records)
    assert (code, out) == (1, f"{name}: the Model shows decision {shown}, and the log ends at {shown - 1}\n")


async def test_a_file_that_is_none(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"spec": {}}\n')
    code, _, err = await terminal.penstock("audit", "verify", str(tmp_path / "x.jsonl"))
    assert (code, err) == (1, f"penstock: {tmp_path / 'x.jsonl'} is no DecisionRecord.\n")
    code, _, err = await terminal.penstock("audit", "verify", str(tmp_path / "no.jsonl"))
    assert (code, err) == (1, f"penstock: {tmp_path / 'no.jsonl'} cannot be read: No such file or directory.\n")
