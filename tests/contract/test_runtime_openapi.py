"""The published description against a live server: schemathesis sends what it allows and what it forbids."""

import subprocess
from pathlib import Path

from bench.runtime.venvs import python_of
from tests.unit.runtime.server import running
from tests.unit.runtime.test_example import save
from tests.unit.runtime.test_protocol import ROW

# Well-formed requests are refused with 400 too if they do not fit this very model, and a useless x-request-id is
# replaced, not refused.
NOT_PROMISED = "positive_data_acceptance,negative_data_rejection"
SECONDS = 90


def test_the_server_is_as_described(tmp_path: Path) -> None:
    tool = python_of("schemathesis", "test-venvs").with_name("schemathesis")
    folder = save(tmp_path / "model", {"inputs": ROW})
    with running(folder, "Skops") as server:
        url = f"{server.client.base_url}/openapi.json"
        options = ["--exclude-checks", NOT_PROMISED, "--phases", "examples,coverage,fuzzing"]
        limits = ["--max-examples", "10", "--seed", "1", "--no-color"]
        done = subprocess.run(
            [tool, "run", url, *options, *limits],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "✅ Examples" in done.stdout, done.stdout
        assert server.client.get("/v2/health/live").status_code == 200
    assert "Traceback" not in (folder / "server.log").read_text()
