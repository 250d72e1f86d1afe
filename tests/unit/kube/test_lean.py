"""The operator's process does without the official client's blocking half, and loses nothing by it."""

import subprocess
import sys
from pathlib import Path

import yaml

CONNECTS = """
import asyncio, sys
from pathlib import Path
from penstock.kube.lean import without_blocking_client
without_blocking_client()
import kopf
from kubernetes.aio.config import load_incluster_config
from penstock.kube.connection import load_connection

async def main():
    connection = await load_connection(Path(sys.argv[1]), {})
    print(connection.host, await connection.authorization())
    await connection.close()

asyncio.run(main())
print(sorted({"kubernetes.client", "requests"} & {name for name, module in sys.modules.items() if module}))
"""


def test_a_process_without_the_blocking_client_connects(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    named = {
        "clusters": [{"name": "one", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "one", "user": {"token": "secret"}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
    }
    kubeconfig.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "one", **named}))
    command = [sys.executable, "-c", CONNECTS, str(kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["http://127.0.0.1:1 Bearer secret", "[]"], done.stderr


def test_what_is_loaded_already_stays() -> None:
    script = (
        "import kubernetes, sys; from penstock.kube.lean import without_blocking_client; without_blocking_client();"
        "from kubernetes import client; print(client.V1Pod.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "V1Pod"
