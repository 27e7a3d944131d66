"""Metrics of operations: each one that is over is counted once, by its last phase."""

from collections.abc import Iterable
from typing import Any

import pytest
from cutover_walks import until_retiring, upgraded
from cutover_world import World
from maintenance_walks import MORE, TYPO
from prometheus_client import REGISTRY
from rtx_operator import measure
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import CutoverPhase, MaintenancePhase, RetirementPhase

CUTOVERS, RETIREMENTS = "rtx_operator_cutovers_total", "rtx_operator_retirements_total"


def counts(name: str, results: Iterable[str]) -> dict[str, float]:
    return {result: REGISTRY.get_sample_value(name, {"result": result}) or 0.0 for result in results}


def measured(world: World, reconciles: int) -> None:
    """Reconcile, and measure each change of status as the controller does."""
    for _ in range(reconciles):
        before = TradingEngine.parse(world.manifest())
        world.tick()
        world.reconcile()
        after = TradingEngine.parse(world.manifest())
        measure.cutover(before, after)
        measure.retirement(before, after)
        measure.maintenance(before, after)


@pytest.mark.parametrize(
    ("faults", "result"), [([], RetirementPhase.SUCCEEDED), (["migration:1.1.0"], RetirementPhase.FAILED)]
)
def test_retirement_is_counted_once_by_its_last_phase(world: World, faults: list[str], result: RetirementPhase) -> None:
    # Given a retirement that has begun
    until_retiring(upgraded(world))
    world.faults.update(faults)
    ended = (RetirementPhase.SUCCEEDED, RetirementPhase.FAILED)
    before = counts(RETIREMENTS, ended)

    # When it ends, and reconciles follow
    measured(world, reconciles=20)

    # Then its result is counted once
    assert counts(RETIREMENTS, ended) == {**before, result: before[result] + 1}


@pytest.mark.parametrize(
    ("faults", "result"), [([], CutoverPhase.SUCCEEDED), (["smoke:1.1.0"], CutoverPhase.ROLLED_BACK)]
)
def test_cutover_is_counted_once_by_its_last_phase(world: World, faults: list[str], result: CutoverPhase) -> None:
    # Given a cutover that begins
    world.faults.update(faults)
    world.set_spec(version="1.1.0")
    ended = (CutoverPhase.SUCCEEDED, CutoverPhase.ROLLED_BACK)
    before = counts(CUTOVERS, ended)

    # When it ends, and reconciles follow
    measured(world, reconciles=100)

    # Then its result is counted once
    assert counts(CUTOVERS, ended) == {**before, result: before[result] + 1}


@pytest.mark.parametrize(
    ("asked", "result", "restarts"), [(MORE, MaintenancePhase.SUCCEEDED, 1), (TYPO, MaintenancePhase.FAILED, 0)]
)
def test_maintenance_is_counted_once_with_the_time_that_the_server_was_away(
    world: World, asked: dict[str, Any], result: MaintenancePhase, restarts: int
) -> None:
    def counted() -> tuple[float, float]:
        ended = {"component": "database", "result": result}
        seconds = "rtx_operator_maintenance_restart_seconds_count"
        return (
            REGISTRY.get_sample_value("rtx_operator_maintenances_total", ended) or 0.0,
            REGISTRY.get_sample_value(seconds, {"component": "database"}) or 0.0,
        )

    # Given a maintenance that is due
    ends, away = counted()
    world.set_spec(database=asked)

    # When it ends, and reconciles follow
    measured(world, reconciles=90)

    # Then its result is counted once, and the time without a pod if there was one
    assert counted() == (ends + 1, away + restarts)
