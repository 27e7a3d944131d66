"""A check of a cutover does not pass without its observation."""

import pytest
from cutover_contexts import FAILS_AFTER_FENCE_MOVE, FAILS_BEFORE_FENCE_MOVE, MISSING, at_drain_start, passing
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.operations.cutover.checks import monitoring, rollback, upgrade
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.cutover.phases import PHASES
from rtx_operator.results import Check, worst_unmet

DATABASE = ("the database was not queried", "the database did not respond", "the database has no fence")
REPORTS, REACH = ("pods were not queried", "pods did not respond"), ("reach was not queried", "reach did not respond")
TRAFFIC = ("no children", "no pods", "no slices")

DEPENDENCIES: list[tuple[CutoverPhase, tuple[str, ...], Check[CutoverContext], tuple[str, ...]]] = [
    (CutoverPhase.PENDING, (), upgrade.slot_is_free, ("slots were not counted",)),
    (CutoverPhase.BACKING_UP, (), upgrade.backed_up, ("no backups", "no children")),
    (CutoverPhase.MIGRATING, (), upgrade.migrated, ("no children",)),
    (CutoverPhase.PROVISIONING, (), upgrade.new_colour_ready, ("no children", "no pods")),
    (CutoverPhase.TESTING, (), upgrade.new_colour_ready, ("no children", "no pods")),
    (CutoverPhase.TESTING, (), upgrade.pods_are_of_version, REPORTS),
    (CutoverPhase.TESTING, (), upgrade.old_pods_reach_new, REACH),
    (CutoverPhase.TESTING, (), upgrade.smoke_passes, ("smoke was not run",)),
    (CutoverPhase.SWITCHING, (), upgrade.fence_names_new, DATABASE),
    (CutoverPhase.SWITCHING, (), upgrade.routed_to_new, TRAFFIC),
    (CutoverPhase.MONITORING, (), monitoring.new_colour_lives, ("no pods",)),
    (CutoverPhase.MONITORING, (), monitoring.new_colour_executes, DATABASE),
    (CutoverPhase.MONITORING, (), monitoring.new_colour_keeps_its_size, ("no pods",)),
    (CutoverPhase.MONITORING, (), monitoring.limits_kept, REPORTS),
    (CutoverPhase.MONITORING, (), monitoring.probes_pass, ("smoke was not run",)),
    (CutoverPhase.MONITORING, (), monitoring.old_colour_drained, REPORTS),
    (CutoverPhase.PROMOTING, (), upgrade.promoted, ("no children",)),
    (CutoverPhase.ROLLING_BACK, FAILS_AFTER_FENCE_MOVE, rollback.fence_names_old, DATABASE),
    (CutoverPhase.ROLLING_BACK, FAILS_AFTER_FENCE_MOVE, rollback.routed_to_old, TRAFFIC),
    (CutoverPhase.ROLLING_BACK, FAILS_AFTER_FENCE_MOVE, rollback.old_colour_serves, (*REPORTS, "no pods")),
    (CutoverPhase.ROLLING_BACK, FAILS_BEFORE_FENCE_MOVE, rollback.reversed_, ("no children",)),
]
# Checks that depend on the time only, or that pass without pods.
OTHERS: set[Check[CutoverContext]] = {
    upgrade.nothing_holds,
    upgrade.backups_have_moved,
    upgrade.no_migration_runs,
    upgrade.nodes_settled,
    upgrade.new_colour_has_passwords,
    monitoring.monitored_long_enough,
    monitoring.traffic_seen,
    rollback.new_colour_empty,
    rollback.old_colour_is_whole,
    rollback.old_colour_can_replace_new,
    rollback.new_colour_drained,
}


@pytest.mark.parametrize(
    ("phase", "faults", "check", "missing"),
    [(phase, faults, check, one) for phase, faults, check, missing in DEPENDENCIES for one in missing],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_check_without_its_observation_does_not_pass(
    phase: CutoverPhase, faults: tuple[str, ...], check: Check[CutoverContext], missing: str
) -> None:
    given = passing(phase, *faults)
    if check is monitoring.old_colour_drained:
        given = at_drain_start(given)
        assert given.seen.engines
    assert check(given) is None

    assert check(MISSING[missing](given)) is not None


def test_every_check_is_covered() -> None:
    assert {check for _, _, check, _ in DEPENDENCIES} | OTHERS == {
        check for row in PHASES.rows.values() for check in row.checks
    }


@pytest.mark.parametrize(
    "phase", [phase for phase, row in PHASES.rows.items() if row.checks and phase is not PHASES.first]
)
@pytest.mark.parametrize("missing", DATABASE)
def test_missing_fence_blocks_only_the_phases_that_need_it(phase: CutoverPhase, missing: str) -> None:
    given = MISSING[missing](passing(phase, *(FAILS_BEFORE_FENCE_MOVE if phase is CutoverPhase.ROLLING_BACK else ())))

    unmet = worst_unmet(given, PHASES[phase].checks)

    assert (unmet is not None) == (
        phase in {CutoverPhase.SWITCHING, CutoverPhase.ROLLING_BACK, CutoverPhase.MONITORING}
    )
