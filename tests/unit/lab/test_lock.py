"""Two commands on one cluster at the same time."""

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


def test_error_of_a_held_lock_names_the_holder(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    expected = rf"rtx-lab is locked by `.*` \(pid {other.pid}, since \d\d:\d\d:\d\d\): wait for its end, or stop it\."
    with pytest.raises(LabError, match=expected), lock.held("rtx-lab", tmp_path):
        pass


def test_killed_holder_releases_the_lock(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    # when
    other.kill()
    other.wait(timeout=10)
    # then
    with lock.held("rtx-lab", tmp_path):
        pass


def test_locks_of_other_clusters_are_independent(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with lock.held("rtx-lab-two", tmp_path):
        pass


def test_waiting_for_a_lock_ends_with_its_holder(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    # given
    assert other.stdin
    threading.Timer(0.2, other.stdin.close).start()
    # when
    with lock.held("rtx-lab", tmp_path, wait=True):
        # then
        assert other.wait(timeout=10) == 0
