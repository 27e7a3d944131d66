"""Conditions from a watch: each change once, until Ready, and only those of the newest spec."""

import json
from pathlib import Path

import pytest
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl


def seen(status: str, reason: str, *, generation: int = 2, observed: int = 2) -> str:
    condition = {"type": "Ready", "status": status, "reason": reason, "message": "m", "observedGeneration": observed}
    return json.dumps({"metadata": {"generation": generation}, "status": {"conditions": [condition]}}, indent=4)


def engine(tmp_path: Path, *documents: str, then: str = "exec sleep 60") -> Engine:
    watched = tmp_path / "watched"
    watched.write_text("".join(f"{document}\n" for document in documents))
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\ncat {watched}\n{then}\n")
    program.chmod(0o755)
    return Engine(Kubectl((str(program),)), "rtx", "ns")


def test_each_condition_change_is_yielded_once_until_ready(tmp_path: Path) -> None:
    # given a watch that repeats itself on the way to Ready
    watched = engine(
        tmp_path,
        seen("False", "Migrating"),
        seen("False", "Migrating"),
        seen("True", "Available"),
        seen("False", "Late"),
    )

    # when its changes are followed, then each comes once, and Ready is the last
    assert [change.reason for change in watched.changes()] == ["Migrating", "Available"]


def test_ready_of_an_older_spec_does_not_count(tmp_path: Path) -> None:
    # given an engine that is Ready for generation 1 while its spec is of generation 2
    watched = engine(tmp_path, seen("True", "Available", observed=1), seen("False", "Migrating"))

    # when it is awaited, then it does not become ready, and the error holds its last condition
    with pytest.raises(DemoError, match=r"rtx is not ready after 1 s\. Migrating: m"):
        watched.wait_until_ready(deadline=1)


def test_error_names_a_silent_operator(tmp_path: Path) -> None:
    # given an engine without conditions, when it is awaited, then the error says so
    watched = engine(tmp_path, json.dumps({"metadata": {"generation": 1}}, indent=4))
    with pytest.raises(DemoError, match="The operator has reported no condition"):
        watched.wait_until_ready(deadline=1)
