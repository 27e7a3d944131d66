"""Two runs at once."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rtx_lab import lock
from rtx_lab.errors import LabError

HOLD = """
import pathlib, sys
from rtx_lab import lock
with lock.held("rtx-lab", pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_the_second_run_is_told_who_holds_the_cluster(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    expected = (
        rf"rtx-lab is held by `.*` \(pid {other.pid}, since \d\d:\d\d:\d\d\); wait until it has ended, or stop it\."
    )
    with pytest.raises(LabError, match=expected), lock.held("rtx-lab", tmp_path):
        pass


def test_a_killed_run_holds_nothing(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    # when
    other.kill()
    other.wait(timeout=10)
    # then
    with lock.held("rtx-lab", tmp_path):
        pass


def test_other_clusters_are_free(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with lock.held("rtx-lab-two", tmp_path):
        pass


def test_who_waits_gets_the_lock_when_the_holder_ends(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    # given
    assert other.stdin
    threading.Timer(0.2, other.stdin.close).start()
    # when
    with lock.held("rtx-lab", tmp_path, wait=True):
        # then
        assert other.wait(timeout=10) == 0
