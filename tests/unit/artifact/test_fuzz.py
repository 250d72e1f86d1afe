"""Whatever a registry serves as a manifest, the answer is a list of safe files or a refusal."""

import json
from pathlib import PurePosixPath

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.artifact.digest import FileEntry
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.manifest import TITLE, parse_manifest

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
titles = st.text(alphabet="a./\\\x00 é", max_size=8) | scalars
layers = st.fixed_dictionaries(
    {
        "digest": st.just("sha256:" + "a" * 64) | scalars,
        "size": st.integers(0, 9) | scalars,
        "annotations": st.fixed_dictionaries({TITLE: titles}) | scalars,
    }
)
manifests = st.fixed_dictionaries({"layers": st.lists(layers | scalars, max_size=3) | scalars}) | scalars


def outcome(content: bytes) -> list[FileEntry] | ArtifactError:
    try:
        return parse_manifest(content)
    except ArtifactError as error:
        return error


@settings(max_examples=500, deadline=None)
@given(manifests.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=60))
def test_any_manifest(content: bytes) -> None:
    result = outcome(content)
    if isinstance(result, ArtifactError):
        assert result.reason is Reason.UNSAFE_FORMAT
        return
    for entry in result:
        path = PurePosixPath(entry.path)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert entry.path.isprintable()
