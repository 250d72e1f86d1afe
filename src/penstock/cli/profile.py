"""`penstock profile show` and `penstock profile make`."""

import argparse
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.profile.profile import Profile


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `profile` with its verbs; each sets `run`, which takes the options and returns the exit status."""
    verbs = commands.add_parser("profile", help="make, show and compare profiles of data").add_subparsers(
        dest="verb", required=True
    )
    showing = verbs.add_parser("show", help="draw a profile in the terminal, as a picture or as a page")
    showing.add_argument("file", type=Path, metavar="FILE")
    showing.add_argument("--compare", type=Path, metavar="OTHER", help="a later profile, counted on FILE's grids")
    showing.add_argument("--feature", metavar="NAME", help="only this feature")
    showing.add_argument("--png", type=Path, metavar="OUT", help="write a picture instead (needs penstock[plot])")
    showing.add_argument("--html", type=Path, metavar="OUT", help="write a page instead")
    showing.set_defaults(run=_guarded(show))
    making = verbs.add_parser("make", help="make the profile of Parquet files (needs penstock[jobs])")
    making.add_argument("data", type=Path, nargs="+", metavar="PARQUET")
    making.add_argument("--like", type=Path, metavar="FILE", help="count on the grids of this profile, to compare")
    making.add_argument("--out", type=Path, required=True, metavar="FILE")
    making.set_defaults(run=_guarded(make))


def _guarded(command: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        # numpy and polars are imported by these commands only: the others must work without.
        try:
            from penstock.profile.errors import ProfileError  # noqa: PLC0415
            from penstock.profile.terminal import printable  # noqa: PLC0415
            from penstock.stats.grid import GridError  # noqa: PLC0415
        except ModuleNotFoundError as error:
            return _fail(f"profiles need {error.name}: pip install 'penstock[jobs]'.")
        try:
            command(options)
        except ModuleNotFoundError as error:
            return _fail(f"this needs {error.name}: pip install 'penstock[jobs]'.")
        except (ProfileError, GridError) as error:
            return _fail(printable(str(error)))
        except OSError as error:
            return _fail(f"{printable(str(error.filename))}: {error.strerror}.")
        return 0

    return run


def _fail(message: str) -> int:
    print(f"penstock: {message}", file=sys.stderr)
    return 1


def show(options: argparse.Namespace) -> None:
    """Draws FILE, beside OTHER if given; raises `ProfileError`, `OSError`."""
    from penstock.profile import html, png, terminal  # noqa: PLC0415

    profile = _read(options.file)
    other = _read(options.compare) if options.compare else None
    if options.png:
        options.png.write_bytes(png.picture(profile, other, feature=options.feature))
    if options.html:
        options.html.write_text(html.page(profile, other, feature=options.feature), encoding="utf-8")
    if not options.png and not options.html:
        width = shutil.get_terminal_size().columns
        print(terminal.draw(profile, other, feature=options.feature, width=width), end="")


def make(options: argparse.Namespace) -> None:
    """Profiles Parquet files; raises `ProfileError`, `GridError`, `OSError`."""
    from penstock.profile.parquet import parquet_grids, parquet_types, profile_parquet  # noqa: PLC0415
    from penstock.profile.serial import dump_profile  # noqa: PLC0415

    if options.like:
        like = _read(options.like)
        types, grids = {feature.name: feature.type for feature in like.features}, like.grids
    else:
        types = parquet_types(options.data)
        grids = parquet_grids(options.data, types)
    created_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    options.out.write_bytes(dump_profile(profile_parquet(options.data, types, grids, created_at=created_at)))


def _read(path: Path) -> "Profile":
    from penstock.profile.serial import MAX_BYTES, load_profile  # noqa: PLC0415

    with path.open("rb") as file:
        return load_profile(file.read(MAX_BYTES + 1))
