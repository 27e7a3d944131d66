"""`kubectl tradingengine status`: the tree of an engine and the table of several."""

from datetime import timedelta

import pytest
from cli_objects import (
    BLUE,
    NEW,
    NEW_REVISION,
    NOON,
    SERVERS,
    WHOLE,
    condition,
    cutover,
    engine,
    pod,
    release,
    workload,
)
from golden_text import assert_golden
from rtx_cli.decide.children import Children
from rtx_cli.decide.engine import Engine
from rtx_cli.render.status import engine_tree, engines_table
from rtx_cli.render.text import ASCII, PLAIN, Look
from rtx_operator.api.enums import Colour, ConditionType, CutoverPhase, Reason

MONITORING = engine(
    condition(ConditionType.READY, True, Reason.SERVING, "2 of 2 engine pods ready"),
    condition(ConditionType.RECONCILING, True, Reason.CUTOVER_IN_PROGRESS, "1.0.0 → 1.1.0 is Monitoring"),
    spec={"version": NEW},
    active={**release(Colour.GREEN, NEW, NEW_REVISION), "configHash": "c2", "epoch": 8},
    cutover=cutover(
        CutoverPhase.MONITORING,
        deadline="2026-11-27T12:07:00Z",
        fencedAt="2026-11-27T11:59:29.500000Z",
        switchedAt="2026-11-27T11:59:29.919000Z",
        # By name, as the API server has them.
        seconds={"Migrating": 8.4, "Pending": 0.1, "Provisioning": 10.2, "Switching": 1.1, "Testing": 2.5},
        message="the old colour drains",
    ),
    previous={**release(), "retireAfter": "2026-11-27T13:00:00Z"},
)
GREEN = (
    workload("Deployment", "rtx-engine-green", 2, 1, f"localhost/rtx-engine:{NEW}"),
    pod("rtx-engine-green-7f-aa", colour=Colour.GREEN),
    pod(
        "rtx-engine-green-7f-bb",
        colour=Colour.GREEN,
        ready=False,
        containerStatuses=[
            {
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 1m20s"}},
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            }
        ],
    ),
)


@pytest.mark.parametrize(
    ("name", "manifest", "items"),
    [
        ("status-at-rest", engine(), WHOLE),
        ("status-monitoring", MONITORING, (*BLUE, *GREEN, *SERVERS)),
        ("status-new", {**engine(), "status": {}}, ()),
    ],
)
def test_tree_of_an_engine(name: str, manifest: dict[str, object], items: tuple[dict[str, object], ...]) -> None:
    # given an engine and its objects, then the tree is the golden one
    assert_golden(name, engine_tree(Engine.of(manifest), Children(items), NOON, PLAIN))


def test_wide_tree_has_images_and_nodes() -> None:
    assert_golden("status-wide", engine_tree(Engine.of(engine()), Children(WHOLE), NOON, PLAIN, wide=True))


def test_kinds_that_may_not_be_listed_are_named_and_the_rest_is_shown() -> None:
    # given a person who may not list claims
    children = Children(BLUE, ("persistentvolumeclaims",))

    # when the tree is drawn
    lines = engine_tree(Engine.of(engine()), children, NOON, PLAIN)

    # then it says so, and has all that could be read
    assert any("you may not list persistentvolumeclaims" in line for line in lines)
    assert any("rtx-engine-blue-5d4-aa" in line for line in lines)


def test_no_line_is_wider_than_the_screen() -> None:
    # given a screen of 60 characters
    look = Look(width=60)

    # then each line of the tree fits
    lines = engine_tree(Engine.of(MONITORING), Children((*BLUE, *GREEN, *SERVERS)), NOON, look)
    assert max(map(len, lines)) <= 60


def test_colours_and_branches_follow_the_terminal() -> None:
    # given a terminal without UTF-8 and one with colours
    plain = engine_tree(Engine.of(engine()), Children(WHOLE), NOON, Look(branches=ASCII))
    painted = engine_tree(Engine.of(engine()), Children(WHOLE), NOON, Look(colours=True))

    # then the one has ASCII only, and the other escape codes around the same text
    assert all(line.isascii() for line in plain)
    assert any("\x1b[32m" in line for line in painted)


def test_table_of_engines() -> None:
    # given engines at rest, amid a cutover, paused and not seen yet
    paused = engine(spec={"paused": True})
    engines = [Engine.of(one) for one in (engine(), MONITORING, paused, {**engine(), "status": {}})]

    # then each is a line
    assert_golden("status-table", engines_table(engines, NOON, PLAIN, wide=True))


def test_kept_release_without_time_left_is_shown() -> None:
    # given a previous release that is kept although its time is over
    later = NOON + timedelta(hours=2)
    lines = engine_tree(Engine.of(MONITORING), Children(BLUE), later, PLAIN)

    # then no negative time is shown
    assert any("version 1.0.0, kept" in line for line in lines)
    assert not any("kept for" in line for line in lines)


def test_status_of_a_later_release_is_shown() -> None:
    # given a phase and a condition that this release does not know
    manifest = engine(cutover=cutover(CutoverPhase.SUCCEEDED))
    manifest["status"]["cutover"]["phase"] = "AwaitingApproval"
    manifest["status"]["conditions"].append({"type": "BackupFresh", "status": "True"})

    # then they are shown as they are
    lines = engine_tree(Engine.of(manifest), Children(()), NOON, PLAIN)
    assert any("AwaitingApproval" in line for line in lines)
    assert any("BackupFresh" in line for line in lines)
