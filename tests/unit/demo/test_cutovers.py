"""A cutover from a watch: each phase once, only of the requested one, until it ends."""

import json
from pathlib import Path

import pytest
from rtx_demo import cutovers
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl


def seen(cutover_id: str, phase: str, message: str = "", **more: object) -> str:
    release = {"colour": "blue", "version": "1.0.0", "revision": "p"}
    cutover = {"id": cutover_id, "phase": phase, "message": message, "from": release, **more}
    cutover["to"] = {"colour": "green", "version": cutover_id.partition("-")[0], "revision": "q"}
    return json.dumps({"metadata": {"generation": 2}, "status": {"cutover": cutover}}, indent=4)


def engine(tmp_path: Path, before: str, *watched: str, then: str = "exec sleep 60") -> Engine:
    """A kubectl that returns `before` to a get, records patches, and returns `watched` to a watch."""
    (tmp_path / "before").write_text(before)
    (tmp_path / "watched").write_text("".join(f"{document}\n" for document in watched))
    program = tmp_path / "kubectl"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in\npatch*) echo "$*" > {tmp_path}/patched ;;\n'
        f"*--watch*) cat {tmp_path}/watched; {then} ;;\n*) cat {tmp_path}/before ;;\nesac\n"
    )
    program.chmod(0o755)
    return Engine(Kubectl((str(program),)), "rtx", "ns")


def test_each_phase_of_the_new_cutover_is_yielded_once_until_it_ends(tmp_path: Path) -> None:
    # given an engine whose status still shows the cutover before when the watch begins
    watched = engine(
        tmp_path,
        seen("1.1.0-aa", "Succeeded"),
        seen("1.1.0-aa", "Succeeded"),
        seen("1.2.0-bb", "Migrating", "running 0002"),
        seen("1.2.0-bb", "Migrating", "running 0002"),
        seen("1.2.0-bb", "Provisioning"),
        seen("1.2.0-bb", "RolledBack", reason="TooManyErrors"),
        seen("1.3.0-cc", "Pending"),
    )

    # when its version is changed and the cutover followed
    observed = list(watched.cutover_to("1.2.0", deadline=20))

    # then it was patched, and the phases are those of the new cutover alone
    assert '{"spec": {"version": "1.2.0"}}' in (tmp_path / "patched").read_text()
    assert [cutover.phase for cutover in observed] == ["Migrating", "Provisioning", "RolledBack"]
    assert (observed[-1].id, observed[-1].reason, observed[-1].over) == ("1.2.0-bb", "TooManyErrors", True)


def test_error_of_an_unfinished_cutover_holds_its_phase_and_message(tmp_path: Path) -> None:
    # given a cutover that stays where it is, and one that never begins
    stuck = engine(tmp_path, "{}", seen("1.1.0-aa", "Testing", "smoke test health: no answer"))
    with pytest.raises(DemoError, match=r"to 1\.1\.0 has not ended after 1 s\. It is in Testing: smoke test health"):
        list(stuck.cutover_to("1.1.0", deadline=1))

    idle = engine(tmp_path, seen("1.0.0-aa", "Succeeded"), seen("1.0.0-aa", "Succeeded"))
    with pytest.raises(DemoError, match="The operator has not started it"):
        list(idle.cutover_to("1.1.0", deadline=1))


def test_times_keep_milliseconds_and_phases_are_sorted() -> None:
    # given a cutover with the operator's own times, when they are read, then fractions of a second are kept
    times = {"fencedAt": "2026-11-21T10:00:00.250000Z", "switchedAt": "2026-11-21T10:00:01.375000Z"}
    cutover = cutovers.from_engine(json.loads(seen("1.1.0-aa", "Monitoring", **times)))
    assert cutover
    assert (cutover.switch_s, cutover.restored_at) == (1.125, None)

    # and its phases stand in the order in which they passed, whatever the order in which they are stored
    stored = cutovers.from_engine(
        json.loads(seen("1.1.0-aa", "Succeeded", seconds={"Monitoring": 9, "Migrating": 4, "New": 1}))
    )
    assert stored
    assert list(stored.seconds) == ["Migrating", "Monitoring", "New"]

    # and one that has not switched has no such figure
    waiting = cutovers.from_engine(json.loads(seen("1.1.0-aa", "Switching")))
    assert waiting
    assert waiting.switch_s is None
