"""After `lab up` was interrupted, `down` removes everything and the next `up` works. On a small second instance."""

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
# A shell's background jobs ignore SIGINT, and so do their children: without this, `up` would, too.
INTERRUPTIBLE = ["env", "--default-signal=INT"]
DEADLINE_SECONDS = 120


@pytest.fixture(autouse=True)
def removed(local_cluster: Provider) -> Iterator[None]:
    """Take the second instance down after the test. `local_cluster` has built what an instance needs."""
    if local_cluster.name is not ProviderName.NATIVE:
        pytest.skip("kind starts and removes its cluster itself")
    yield
    subprocess.run([*LAB, "down"], check=True, timeout=DEADLINE_SECONDS)


def left_behind() -> list[str]:
    """Everything on this machine that has the instance's name, except for zombie processes."""
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
    """Start `lab up` with one node, and return it when the instance's file `progress` exists."""
    process = subprocess.Popen([*INTERRUPTIBLE, *LAB, "up", "--nodes", "1"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (INSTANCE.run / progress).exists():
        assert process.poll() is None, f"`up` ended before {progress} existed"
        assert time.monotonic() < deadline, f"{progress} does not exist after {DEADLINE_SECONDS} s"
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
def test_down_removes_everything_after_a_killed_up(moment: str) -> None:
    # Given `up` that has come to this moment.
    process = start_up(moment)

    # When it is killed, and `down` runs.
    process.kill()
    process.wait(timeout=DEADLINE_SECONDS)
    subprocess.run([*LAB, "down"], check=True, timeout=DEADLINE_SECONDS)

    # Then nothing of the instance is left.
    assert left_behind() == []


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_up_removes_what_it_started(interrupt: signal.Signals) -> None:
    # Given `up` that has started the API server.
    process = start_up("daemons/kube-apiserver")

    # When it is interrupted.
    process.send_signal(interrupt)

    # Then it fails, and nothing of the instance is left.
    assert process.wait(timeout=DEADLINE_SECONDS) != 0
    assert left_behind() == []


def test_up_works_after_a_killed_up() -> None:
    # Given `up` that was killed when it had started the API server.
    process = start_up("daemons/kube-apiserver")
    process.kill()
    process.wait(timeout=DEADLINE_SECONDS)

    # When `up` runs again.
    subprocess.run([*LAB, "up", "--nodes", "0", "--fake-nodes", "1"], check=True, timeout=DEADLINE_SECONDS)

    # Then the cluster has its node.
    command = [*LAB, "kubectl", "get", "nodes", "--output=name"]
    answer = subprocess.run(command, check=True, timeout=DEADLINE_SECONDS, capture_output=True, text=True)
    assert answer.stdout.split() == ["node/fake1"]
