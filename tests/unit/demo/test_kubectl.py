"""Runs a small script as kubectl and tests how its output and errors are handled."""

import time
from pathlib import Path

import pytest
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl, KubectlError


def program(tmp_path: Path, script: str) -> list[str]:
    file = tmp_path / "kubectl"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return [str(file)]


def test_other_cluster_is_refused(tmp_path: Path) -> None:
    # given a kubectl whose context is production, when it is checked, then the error names it
    with pytest.raises(DemoError, match="production, which is not the local cluster"):
        Kubectl.of_local_cluster(program(tmp_path, "echo production"))


@pytest.mark.parametrize("context", ["rtx-lab", "kind-rtx-lab"])
def test_local_cluster_is_accepted(tmp_path: Path, context: str) -> None:
    # given the lab's context, native or kind, when it is checked, then it is accepted
    assert Kubectl.of_local_cluster(program(tmp_path, f"echo {context}"))


def test_error_holds_command_and_reason(tmp_path: Path) -> None:
    # given a kubectl that fails with a reason
    kubectl = Kubectl(tuple(program(tmp_path, "echo 'Error: quota exceeded' >&2; exit 1")))

    # when it is run, then the error holds the command and the reason
    with pytest.raises(KubectlError, match=r"kubectl get pods: Error: quota exceeded"):
        kubectl.run("get", "pods")


def test_hanging_call_ends_at_its_deadline(tmp_path: Path) -> None:
    # given a kubectl that never ends, when it is run or followed, then the deadline ends it
    kubectl = Kubectl(tuple(program(tmp_path, "echo first; exec sleep 60")))
    with pytest.raises(KubectlError, match="did not end within"):
        kubectl.run("get", "pods", deadline=0.2)
    lines = []
    with pytest.raises(KubectlError, match="did not end within"):
        lines.extend(kubectl.lines("logs", deadline=0.5))


def test_lines_arrive_before_the_command_ends(tmp_path: Path) -> None:
    # given a command that writes a line and runs on
    kubectl = Kubectl(tuple(program(tmp_path, "echo first; exec sleep 60")))

    # when it is followed and left, then the line was there before the end, and the process is not awaited
    began = time.monotonic()
    for line in kubectl.lines("logs", deadline=30):
        assert line == "first"
        break
    assert time.monotonic() - began < 30
