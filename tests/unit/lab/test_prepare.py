"""Programs and images are built concurrently; a failure of one cancels the other."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rtx_lab import binaries, cluster, images, kind, lock, packages
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance
from rtx_lab.kind import Kind
from rtx_lab.native import Native
from rtx_lab.processes import run
from rtx_lab.progress import Reporter


@pytest.fixture
def building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what stands in for building the programs and the images."""
    monkeypatch.setattr(lock, "LOCK_FOLDER", tmp_path / "locks")
    monkeypatch.setattr(cluster, "require_root", lambda: None)
    monkeypatch.setattr(packages, "ensure", lambda *_: None)

    def stand_in(*, programs: Callable[[], object], our_images: Callable[[], object]) -> None:
        monkeypatch.setattr(binaries, "ensure", lambda *_: programs())
        monkeypatch.setattr(images, "build", lambda *_: our_images() or [])

    return stand_in


def prepare(root: Path) -> None:
    Native(Instance()).prepare(root, Reporter())


def test_programs_and_images_are_built_concurrently(building: Callable[..., None], tmp_path: Path) -> None:
    # given: each waits for the other
    both = threading.Barrier(2, timeout=60)
    building(programs=both.wait, our_images=lambda: both.wait() and None)
    # when
    prepare(tmp_path)
    # then
    assert not both.broken


def test_prepare_writes_the_image_archives(
    building: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(images, "archive_path", lambda reference: tmp_path / f"{reference}.tar")
    monkeypatch.setattr(images, "write_archive", lambda reference, target: written.append((reference, target.name)))
    building(programs=lambda: None, our_images=lambda: ["engine", "redis"])
    # when
    prepare(tmp_path)
    # then
    assert written == [("engine", "engine.tar"), ("redis", "redis.tar")]


@pytest.mark.parametrize("failing", ["programs", "our_images"])
def test_failure_of_programs_or_images_cancels_the_other(
    building: Callable[..., None], tmp_path: Path, failing: str
) -> None:
    # given
    running, gone_on = tmp_path / "running", tmp_path / "gone-on"

    def fails() -> None:
        while not running.exists():
            pass
        raise LabError(f"no space left for {failing}")

    def goes_on() -> None:
        run(["sh", "-c", 'touch "$0"; sleep 300; touch "$1"', running, gone_on], deadline_s=600)
        gone_on.touch()

    other = {"programs": "our_images", "our_images": "programs"}[failing]
    building(**{failing: fails, other: goes_on})
    # when
    with pytest.raises(LabError, match=f"^no space left for {failing}$"):
        prepare(tmp_path)
    # then
    assert not gone_on.exists()


def test_error_of_a_concurrent_prepare_names_the_holder(building: Callable[..., None], tmp_path: Path) -> None:
    # given
    reported: list[str] = []

    def second() -> None:
        with pytest.raises(LabError) as refused:
            prepare(tmp_path)
        reported.append(str(refused.value))

    building(programs=second, our_images=lambda: None)
    # when
    prepare(tmp_path)
    # then
    assert reported[0].startswith("rtx-lab is locked by ")


def test_prepare_of_kind_builds_the_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # given
    commands: list[list[str]] = []
    monkeypatch.setattr(kind.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(kind, "run", lambda command, **_: commands.append(command))
    # when
    Kind().prepare(tmp_path, Reporter())
    # then
    assert {" ".join(command[:2]) for command in commands} == {"docker build"}
    assert len(commands) == len(images.IMAGES)


def test_missing_kind_raises_before_images_are_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # given
    monkeypatch.setattr(kind.shutil, "which", lambda _: None)
    # then
    with pytest.raises(LabError, match=r"^kind was not found: install it from https://kind\.sigs\.k8s\.io"):
        Kind().prepare(tmp_path, Reporter())
