"""Builds images with buildah into OCI layouts in the cache, once per content."""

import dataclasses
import fcntl
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.images import base
from hack.cluster.images.recipe import DOMAIN, Recipe, command, folder, key_of

_PUSHED = "image"
# zstd at its fastest: a third of gzip's time for the same size.
_COMPRESSION = ("--compression-format=zstd", "--compression-level=1")


@dataclasses.dataclass(frozen=True)
class Image:
    """A built image: its name, the digest of its manifest, and the folder of its OCI layout."""

    name: str
    digest: str
    layout: Path

    @property
    def reference(self) -> str:
        """The pinned reference for a pod: penstock.local/<name>@sha256:<64 hex>."""
        return f"{DOMAIN}/{self.name}@{self.digest}"


def build(recipe: Recipe) -> Image:
    """The image of a recipe; runs buildah only when the Dockerfile or something it copies has changed.

    Two processes that ask for the same image build it once. Raises ClusterError when a tool is missing or fails.
    """
    layout = folder("layout") / recipe.name
    record = folder("record") / recipe.name
    key = key_of(recipe.dockerfile.read_bytes(), recipe.key(), base.reference() if recipe.on_python_base else "")
    with (folder("record") / f".{recipe.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built_key, _, digest = record.read_text().partition(" ") if record.exists() else ("", "", "")
        if built_key != key or not (layout / "index.json").exists():
            watch = Stopwatch()
            digest = _build(recipe, layout)
            record.write_text(f"{key} {digest}")
            size = sum(blob.stat().st_size for blob in (layout / "blobs" / "sha256").iterdir())
            watch.stage(f"{recipe.name} image: built, {size / 1e6:.1f} MB")
    return Image(recipe.name, digest, layout)


def push(image: Image, repository: str, *, plain_http: bool) -> str:
    """Pushes a built image into a registry ("host:port/repository") and returns its pinned reference there.

    Quick when the registry has it. Raises ClusterError with buildah's own last line.
    """
    with tempfile.NamedTemporaryFile("r") as digest:
        options = ["--quiet", *_COMPRESSION, f"--tls-verify={'false' if plain_http else 'true'}"]
        _buildah("push", *options, f"--digestfile={digest.name}", _tag(image.name), f"docker://{repository}:latest")
        return f"{repository}@{digest.read().strip()}"


def blob(layout: Path, digest: str) -> Path:
    """The file of a blob of an OCI layout."""
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def blobs_of(layout: Path, digest: str) -> list[str]:
    """The digests of an image's layers, its configuration and, last, its manifest."""
    manifest = json.loads(blob(layout, digest).read_bytes())
    return [*(layer["digest"] for layer in manifest["layers"]), manifest["config"]["digest"], digest]


def _build(recipe: Recipe, layout: Path) -> str:
    context = recipe.context()
    options: list[str] = []
    if recipe.on_python_base:
        options.append(f"--build-arg=BASE={_base_image()}")
    if recipe.dependencies:
        stage = _dependencies_image(recipe, recipe.dependencies(), context, options)
        options.append(f"--build-arg=DEPENDENCIES={stage}")
    tag = _tag(recipe.name)
    _bud(recipe.dockerfile, tag, context, options)
    _buildah("push", "--quiet", *_COMPRESSION, tag, f"oci:{layout}:{_PUSHED}")
    _buildah("rmi", "--prune")  # what lost its tag to this build
    return _keep_only_pushed(layout)


def _tag(name: str) -> str:
    """The name under which buildah keeps the newest build."""
    return f"{DOMAIN}/{name}:latest"


def _base_image() -> str:
    tag = base.reference()
    if not _exists(tag):
        recipe = base.recipe()
        _bud(recipe.dockerfile, tag, recipe.context(), [])
    return tag


def _dependencies_image(recipe: Recipe, key: str, context: Path, options: list[str]) -> str:
    """The image of the Dockerfile's first stage, so that a code change neither reads nor writes the dependencies."""
    repository = f"{DOMAIN}/{recipe.name}-dependencies"
    tag = f"{repository}:{key_of(key, recipe.dockerfile.read_bytes(), *options)}"
    if not _exists(tag):
        outdated = _buildah_answer("images", "--quiet", repository).stdout.split()
        _bud(recipe.dockerfile, tag, context, [*options, "--target=dependencies"])
        if outdated:
            _buildah_answer("rmi", "--force", *outdated)
    return tag


def _bud(dockerfile: Path, tag: str, context: Path, options: Sequence[str]) -> None:
    # The fixed time makes the digest a function of the content.
    fixed = ["--quiet", "--pull-never", "--timestamp=0", "--format=oci"]
    _buildah("bud", *fixed, *options, f"--file={dockerfile}", f"--tag={tag}", str(context))


def _exists(tag: str) -> bool:
    return _buildah_answer("images", "--quiet", tag).returncode == 0


def _keep_only_pushed(layout: Path) -> str:
    """Drops what earlier pushes left in the layout; returns the digest of the manifest just pushed."""
    index_file = layout / "index.json"
    index = json.loads(index_file.read_bytes())
    pushed = [
        entry
        for entry in index["manifests"]
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == _PUSHED
    ]
    index_file.write_text(json.dumps({**index, "manifests": pushed}))
    digest = str(pushed[0]["digest"])
    wanted = {blob(layout, kept) for kept in blobs_of(layout, digest)}
    for file in (layout / "blobs" / "sha256").iterdir():
        if file not in wanted:
            file.unlink()
    return digest


def _buildah_answer(*arguments: str) -> subprocess.CompletedProcess[str]:
    store = folder("buildah")
    tool = [command("buildah", "buildah"), "--root", str(store / "root"), "--runroot", str(store / "run")]
    return subprocess.run([*tool, *arguments], capture_output=True, text=True, check=False)


def _buildah(*arguments: str) -> None:
    answer = _buildah_answer(*arguments)
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["no output"])[-1]
        raise ClusterError(f"buildah {arguments[0]} failed for {arguments[-1]}: {last}")
