"""A check of a cutover is never passed for want of an answer."""

import pytest
from cutover_contexts import BACK_AGAIN, IGNORANCE, UNTESTED, drains_no_longer_than_it_takes, passing
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.operations.cutover import checks
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.cutover.phases import PHASES
from rtx_operator.results import Check, worst_unmet

DATABASE = ("the database was not asked", "the database gave no answer", "the database has no fence")
REPORTS, REACH = ("pods were not asked", "pods gave no answer"), ("reach was not asked", "reach gave no answer")
TRAFFIC = ("no children", "no pods", "no slices")

RESTS_ON: list[tuple[CutoverPhase, tuple[str, ...], Check[CutoverContext], tuple[str, ...]]] = [
    (CutoverPhase.MIGRATING, (), checks.migrated, ("no children",)),
    (CutoverPhase.PROVISIONING, (), checks.new_colour_ready, ("no children", "no pods")),
    (CutoverPhase.TESTING, (), checks.new_colour_ready, ("no children", "no pods")),
    (CutoverPhase.TESTING, (), checks.old_pods_reach_new, REACH),
    (CutoverPhase.TESTING, (), checks.smoke_passes, ("smoke was not tried",)),
    (CutoverPhase.SWITCHING, (), checks.fence_names_new, DATABASE),
    (CutoverPhase.SWITCHING, (), checks.routed_to_new, TRAFFIC),
    (CutoverPhase.MONITORING, (), checks.new_colour_lives, ("no pods",)),
    (CutoverPhase.MONITORING, (), checks.new_colour_executes, DATABASE),
    (CutoverPhase.MONITORING, (), checks.limits_kept, REPORTS),
    (CutoverPhase.MONITORING, (), checks.old_colour_drained, REPORTS),
    (CutoverPhase.PROMOTING, (), checks.promoted, ("no children",)),
    (CutoverPhase.ROLLING_BACK, BACK_AGAIN, checks.fence_names_old, DATABASE),
    (CutoverPhase.ROLLING_BACK, BACK_AGAIN, checks.routed_to_old, TRAFFIC),
    (CutoverPhase.ROLLING_BACK, UNTESTED, checks.reversed_, ("no children",)),
]
# What time alone decides, and what is over when nothing is there; draining pods are seen below.
OTHERS: set[Check[CutoverContext]] = {
    checks.nothing_holds,
    checks.nodes_settled,
    checks.monitored_long_enough,
    checks.new_colour_empty,
    checks.new_colour_drained,
}


@pytest.mark.parametrize(
    ("phase", "faults", "check", "missing"),
    [(phase, faults, check, one) for phase, faults, check, missing in RESTS_ON for one in missing],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_what_is_not_known_is_never_passed(
    phase: CutoverPhase, faults: tuple[str, ...], check: Check[CutoverContext], missing: str
) -> None:
    given = passing(phase, *faults)
    if check is checks.old_colour_drained:
        given = drains_no_longer_than_it_takes(given)
        assert given.seen.engines
    assert check(given) is None

    assert check(IGNORANCE[missing](given)) is not None


def test_every_check_is_among_them() -> None:
    assert {check for _, _, check, _ in RESTS_ON} | OTHERS == {
        check for row in PHASES.rows.values() for check in row.checks
    }


@pytest.mark.parametrize(
    "phase", [phase for phase, row in PHASES.rows.items() if row.checks and phase is not PHASES.first]
)
@pytest.mark.parametrize("missing", DATABASE)
def test_without_the_database_only_what_does_not_need_it_goes_on(phase: CutoverPhase, missing: str) -> None:
    given = IGNORANCE[missing](passing(phase, *(UNTESTED if phase is CutoverPhase.ROLLING_BACK else ())))

    said = worst_unmet(given, PHASES[phase].checks)

    assert (said is not None) == (phase in {CutoverPhase.SWITCHING, CutoverPhase.ROLLING_BACK, CutoverPhase.MONITORING})
