"""Whatever interrupts `up`, `down` leaves nothing and the next `up` works. On a second, small instance of its own."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtx_lab.instance import Instance
from rtx_lab.provider import Provider, ProviderName

INSTANCE = Instance("rtx-lab-crash")
LAB = [sys.executable, "-m", "rtx_lab.main", "--instance", INSTANCE.name]
# A suite that runs in the background of a shell has Ctrl-C ignored, and so would everything that it starts.
INTERRUPTIBLE = ["env", "--default-signal=INT"]
DEADLINE_S = 120


@pytest.fixture(autouse=True)
def removed(local_cluster: Provider) -> Iterator[None]:
    """With the suite's cluster up beside it, so that what an instance needs has been built by now."""
    if local_cluster.name is not ProviderName.NATIVE:
        pytest.skip("kind makes and removes its cluster by itself")
    yield
    subprocess.run([*LAB, "down"], check=True, timeout=DEADLINE_S)


def left_behind() -> list[str]:
    """Everything on this machine that bears the instance's name, but for processes that only wait to be reaped."""
    found = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{INSTANCE.name}")]
    found += [
        str(path) for path in (INSTANCE.run, INSTANCE.state, Path("/sys/class/net", INSTANCE.name)) if path.exists()
    ]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if INSTANCE.name in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            groups, state = (
                (process / "cgroup").read_text(),
                (process / "stat").read_text().rpartition(")")[2].split()[0],
            )
        except OSError:
            continue
        if INSTANCE.name in groups and state != "Z":
            found.append((process / "cmdline").read_text())
    return found


def start_up(progress: str) -> subprocess.Popen[bytes]:
    """Starts `lab up` with one node and returns when that file of the instance exists."""
    process = subprocess.Popen([*INTERRUPTIBLE, *LAB, "up", "--nodes", "1"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + DEADLINE_S
    while not (INSTANCE.run / progress).exists():
        assert process.poll() is None, f"up ended before {progress} was there"
        assert time.monotonic() < deadline, f"{progress} never appeared"
        time.sleep(0.005)
    return process


MOMENTS = [
    "pki/ca.key",
    "machines/control-plane",
    "daemons/kube-apiserver",
    "node1/containerd.toml",
    "daemons/kubelet-node1",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_up_killed_at_any_moment_leaves_nothing_that_down_does_not_find(moment: str) -> None:
    # given
    process = start_up(moment)
    # when
    process.kill()
    process.wait(timeout=DEADLINE_S)
    subprocess.run([*LAB, "down"], check=True, timeout=DEADLINE_S)
    # then
    assert left_behind() == []


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_cleans_up_after_itself(interrupt: signal.Signals) -> None:
    # given
    process = start_up("daemons/kube-apiserver")
    # when
    process.send_signal(interrupt)
    # then
    assert process.wait(timeout=DEADLINE_S) != 0
    assert left_behind() == []


def test_up_works_on_what_a_killed_one_left() -> None:
    # given
    process = start_up("daemons/kube-apiserver")
    process.kill()
    process.wait(timeout=DEADLINE_S)
    # when
    subprocess.run([*LAB, "up", "--nodes", "0", "--fake-nodes", "1"], check=True, timeout=DEADLINE_S)
    # then
    command = [*LAB, "kubectl", "get", "nodes", "--output=name"]
    answer = subprocess.run(command, check=True, timeout=DEADLINE_S, capture_output=True, text=True)
    assert answer.stdout.split() == ["node/fake1"]
