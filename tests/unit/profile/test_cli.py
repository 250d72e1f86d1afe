"""`penstock profile` from Parquet files to a drawing."""

import json
import subprocess
import sys

import polars as pl
import pytest

from penstock.cli.main import main
from penstock.profile.serial import load_profile
from tests.unit.profile.samples import frame


@pytest.fixture
def files(tmp_path):
    for name, shift in (("before", 0.0), ("after", 1.0)):
        frame(shift=shift).write_parquet(tmp_path / f"{name}.parquet", row_group_size=300)
    assert main(["profile", "make", str(tmp_path / "before.parquet"), "--out", str(tmp_path / "before")]) == 0
    like = ["--like", str(tmp_path / "before"), "--out", str(tmp_path / "after")]
    assert main(["profile", "make", str(tmp_path / "after.parquet"), *like]) == 0
    return tmp_path


def test_make_counts_every_row(files):
    profile = load_profile((files / "before").read_bytes())
    assert profile.rows == 2000
    assert [feature.name for feature in profile.features] == frame().columns
    assert profile.grids == load_profile((files / "after").read_bytes()).grids


def test_show_draws_and_compares(files, capsys):
    assert main(["profile", "show", str(files / "before")]) == 0
    assert "2,000 rows, 9 features" in capsys.readouterr().out
    compare = ["--compare", str(files / "after"), "--feature", "speed"]
    assert main(["profile", "show", str(files / "before"), *compare]) == 0
    assert "Drifted (Shift)" in capsys.readouterr().out


def test_show_writes_a_picture_and_a_page(files, capsys):
    outputs = ["--png", str(files / "out.png"), "--html", str(files / "out.html")]
    assert main(["profile", "show", str(files / "before"), "--compare", str(files / "after"), *outputs]) == 0
    assert (files / "out.png").read_bytes().startswith(b"\x89PNG")
    assert (files / "out.html").read_text().startswith("<!doctype html>")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "missing"], "No such file"),
        (["show", "before.parquet"], "no JSON"),
        (["show", "before", "--feature", "x\x1b[31m"], "no feature 'x\N{REPLACEMENT CHARACTER}[31m'"),
        (["make", "missing", "--out", "x"], "There is no file"),
        (["make", "before", "--out", "x"], "The data cannot be read"),
        (["make", "other.parquet", "--like", "before", "--out", "x"], "The data cannot be read"),
        (["make", "nested.parquet", "--out", "x"], "'a' is of type List"),
    ],
)
def test_errors_are_one_sentence(files, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(files)
    pl.DataFrame({"b": [1]}).write_parquet("other.parquet")
    pl.DataFrame({"a": [[1]]}).write_parquet("nested.parquet")
    assert main(["profile", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("penstock: ")
    assert message in error
    assert error.count("\n") == 1


def test_the_other_commands_need_neither_numpy_nor_polars(tmp_path):
    (tmp_path / "model").write_bytes(b"x")
    script = (
        "import sys\n"
        "for name in ('numpy', 'polars', 'scipy', 'matplotlib'): sys.modules[name] = None\n"
        "from penstock.cli.main import main\n"
        f"codes = [main(['digest', {str(tmp_path / 'model')!r}]), main(['profile', 'show', 'x'])]\n"
        "import json; print(json.dumps(codes))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 1]
    assert "profiles need numpy: pip install 'penstock[jobs]'" in done.stderr
