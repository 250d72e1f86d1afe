"""The busybox image for tests: one static binary and a link for each of its commands."""

import shutil
import subprocess
from pathlib import Path

from hack.cluster.images.recipe import Recipe, command, fresh_folder, key_of

_USERS = "root:x:0:0:root:/:/bin/sh\nnonroot:x:65532:65532:nonroot:/tmp:/bin/sh\n"


def recipe() -> Recipe:
    """penstock.local/busybox, from this machine's statically linked busybox."""
    return Recipe("busybox", Path(__file__).with_name("busybox.Dockerfile"), _key, _context)


def _binary() -> Path:
    return Path(command("busybox", "busybox-static"))


def _key() -> str:
    return key_of(_binary().read_bytes(), _USERS)


def _context() -> Path:
    context = fresh_folder("context", "busybox")
    programs = context / "rootfs" / "bin"
    programs.mkdir(parents=True)
    shutil.copyfile(_binary(), programs / "busybox")
    (programs / "busybox").chmod(0o755)
    listed = subprocess.run([_binary(), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        if name != "busybox":
            (programs / name).symlink_to("busybox")
    (context / "rootfs" / "etc").mkdir()
    (context / "rootfs" / "etc" / "passwd").write_text(_USERS)
    (context / "rootfs" / "tmp").mkdir()
    (context / "rootfs" / "tmp").chmod(0o1777)
    return context
