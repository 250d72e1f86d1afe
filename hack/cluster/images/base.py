"""The base image of our Python images where no registry is in reach: Debian with its python3, by debootstrap."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from hack.cluster.console import ClusterError, Stopwatch, say
from hack.cluster.images.recipe import DOMAIN, Recipe, command, folder, fresh_folder, key_of
from hack.cluster.versions import load

_PACKAGES = ("python3", "ca-certificates")
_EMPTIED = (
    "tmp", "usr/lib/python3.11/test", "usr/share/doc", "usr/share/info", "usr/share/lintian",
    "usr/share/locale", "usr/share/man", "var/cache", "var/lib/apt/lists", "var/log",
)  # fmt: skip
# debootstrap copies the first two from this machine and writes the mirror into the third.
_REWRITTEN = {"etc/resolv.conf": "", "etc/hostname": "localhost\n", "etc/apt/sources.list": ""}
_DOCKERFILE = Path(__file__).with_name("base.Dockerfile")


def recipe() -> Recipe:
    """The base image, keyed by how it is made (not by the state of the Debian mirror)."""
    return Recipe("base", _DOCKERFILE, _key, _context)


def reference() -> str:
    """The local name of the base image that the present recipe makes."""
    return f"{DOMAIN}/base:{key_of(_key(), _DOCKERFILE.read_bytes())}"


def _key() -> str:
    return key_of(_suite(), *_PACKAGES, *_EMPTIED, repr(_REWRITTEN))


def _suite() -> str:
    return str(load()["python-base"]["suite"])


def _context() -> Path:
    archive = folder("debian") / f"{_key()}.tar"
    if not archive.exists():
        _make_archive(archive)
    context = fresh_folder("context", "base")
    os.link(archive, context / "base.tar")
    return context


def _make_archive(archive: Path) -> None:
    if os.geteuid():
        raise ClusterError("Making the base image needs root: run this command as root.")
    say(f"base image: installing Debian {_suite()} with debootstrap, about a minute")
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(dir=archive.parent) as temporary:
        root = Path(temporary) / "root"
        log = Path(temporary) / "log"
        options = ["--variant=minbase", f"--include={','.join(_PACKAGES)}"]
        tool = command("debootstrap", "debootstrap")
        with log.open("w") as output:
            failed = subprocess.run(
                [tool, *options, _suite(), root, *_mirror()], stdout=output, stderr=output, check=False
            ).returncode
        if failed:
            last = (log.read_text().strip().splitlines() or ["no output"])[-1]
            raise ClusterError(f"debootstrap failed ({last}); check that this machine's apt reaches its mirror.")
        _trim(root)
        # Hash-based files stay valid whatever time stamps the layers carry.
        compiler = ["python3", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
        subprocess.run(["chroot", root, *compiler, "/usr/lib/python3.11"], stdout=subprocess.DEVNULL, check=True)
        partial = Path(temporary) / "base.tar"
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            for entry in sorted(root.iterdir()):
                tar.add(entry, entry.name, filter=_portable)
        partial.rename(archive)
    watch.stage("base image: Debian installed and trimmed")


def _trim(root: Path) -> None:
    for name in _EMPTIED:
        path = root / name
        mode = path.stat().st_mode if path.exists() else 0o755
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        path.chmod(mode & 0o7777)
    shutil.rmtree(root / "debootstrap", ignore_errors=True)
    for name, text in _REWRITTEN.items():
        (root / name).write_text(text)


def _portable(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Drops device nodes (the container runtime makes its own) and the names of users and times."""
    if entry.ischr() or entry.isblk():
        return None
    entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def _mirror() -> list[str]:
    """$PENSTOCK_DEBIAN_MIRROR, else the Debian mirror that this machine's own apt uses, else debootstrap's default."""
    chosen = os.environ.get("PENSTOCK_DEBIAN_MIRROR")
    if chosen:
        return [chosen]
    tool = command("apt-get", "apt")
    targets = [tool, "indextargets", "--format", "$(SITE) $(CODENAME) $(COMPONENT)", "Created-By: Packages"]
    lines = subprocess.run(targets, capture_output=True, text=True, check=False).stdout.splitlines()
    for line in lines:
        site, _, rest = line.partition(" ")
        if rest == f"{_suite()} main" and site:
            return [site]
    return []  # an Ubuntu's apt knows no Debian
