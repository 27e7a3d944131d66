"""Which TradingEngineBackups of the schedule are kept."""

from datetime import UTC, datetime, timedelta

import pytest
from rtx_operator.observation import Object
from rtx_operator.operations.backup.schedule import KEPT_FAILED, KEPT_INCREMENTAL, surplus

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
RETENTION = timedelta(days=30)


def backup(hours: int, phase: str = "Succeeded", kind: str = "Incremental", manager: str = "rtx-operator") -> Object:
    ended = (NOW - timedelta(hours=hours)).isoformat()
    status = {"phase": phase, "endedAt": ended, **({"made": {"type": kind}} if phase == "Succeeded" else {})}
    meta = {"name": f"{kind}-{phase}-{hours}", "labels": {"app.kubernetes.io/managed-by": manager}}
    return {"metadata": meta, "status": status}


def names(found: list[Object]) -> set[str]:
    return {one["metadata"]["name"] for one in found}


def test_full_ones_are_kept_as_long_as_their_backups() -> None:
    backups = [backup(24 * days, kind="Full") for days in range(40)]
    assert names(surplus(backups, RETENTION, NOW)) == {f"Full-Succeeded-{24 * days}" for days in range(31, 40)}


@pytest.mark.parametrize(("phase", "kept"), [("Succeeded", KEPT_INCREMENTAL), ("Failed", KEPT_FAILED)])
def test_of_the_others_the_latest_are_kept(phase: str, kept: int) -> None:
    backups = [backup(hours, phase) for hours in range(60)]
    assert names(surplus(backups, RETENTION, NOW)) == {f"Incremental-{phase}-{hours}" for hours in range(kept, 60)}


def test_those_that_run_and_those_of_others_are_kept() -> None:
    backups = [backup(hours, manager="somebody") for hours in range(60)]
    backups += [{"metadata": backup(0)["metadata"], "status": {"phase": "Running"}}] * 60
    assert surplus(backups, RETENTION, NOW) == []
