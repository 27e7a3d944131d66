"""Cleanup of buildah's storage, tested with a fake buildah."""

from pathlib import Path

import pytest
from rtx_lab import buildah, images
from rtx_lab.errors import LabError
from rtx_lab.progress import Reporter

BUILDAH = """#!/bin/sh
if [ "$1" = images ]; then cat "{folder}/unnamed"; exit; fi
echo "$@" >> "{folder}/calls"
[ "$2" != busy ]
"""


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "buildah"
    program.write_text(BUILDAH.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "calls").touch()
    return tmp_path


def unnamed(*identities: str) -> str:
    """Oldest first, as the order is not guaranteed."""
    return "".join(f"2026-11-21 12:00:{at:02}.5 +0000 UTC\t{identity}\n" for at, identity in enumerate(identities))


def test_prune_removes_the_replaced_image_and_the_oldest_layers(storage: Path) -> None:
    (storage / "unnamed").write_text(unnamed("oldest", "busy", "old", "abc123", "new", "newest"))

    buildah.prune("abc123456789", keep_unnamed=2)

    assert (storage / "calls").read_text().splitlines() == ["rmi abc123", "rmi old", "rmi busy", "rmi oldest"]


def test_prune_without_a_replaced_image_removes_nothing(storage: Path) -> None:
    (storage / "unnamed").write_text(unnamed("one", "two"))

    buildah.prune("", keep_unnamed=2)

    assert (storage / "calls").read_text() == ""


def test_failed_build_leaves_no_working_container(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a buildah that knows every image but as something else, and cannot build
    (storage / "buildah").write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\n[ "$1" != bud ]\n')
    monkeypatch.setenv("XDG_CACHE_HOME", str(storage / "cache"))
    monkeypatch.setattr(images.packages, "ensure", lambda *_: None)
    monkeypatch.setattr(images.base_image, "ensure", lambda _: None)

    # when an image is built, then buildah removes its working container also after a failure
    with pytest.raises(LabError, match="Building localhost/rtx-redis:8 failed"):
        images.build(["redis"], Path(__file__).parents[3], Reporter())
    (build,) = [line for line in (storage / "calls").read_text().splitlines() if line.startswith("bud ")]
    assert "--force-rm" in build.split()
