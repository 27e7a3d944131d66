"""A check of a cutover is never passed for want of an answer."""

import pytest
from cutover_contexts import BACK_AGAIN, IGNORANCE, UNTESTED, drains_no_longer_than_it_takes, passing
from rtx_operator.api.enums import Phase
from rtx_operator.cutover import checks
from rtx_operator.cutover.checks import CHECKS, Check, unmet

DATABASE = ("the database was not asked", "the database gave no answer", "the database has no fence")
REPORTS, REACH = ("pods were not asked", "pods gave no answer"), ("reach was not asked", "reach gave no answer")
TRAFFIC = ("no children", "no pods", "no slices")

RESTS_ON: list[tuple[Phase, tuple[str, ...], Check, tuple[str, ...]]] = [
    (Phase.MIGRATING, (), checks.migrated, ("no children",)),
    (Phase.PROVISIONING, (), checks.new_colour_ready, ("no children", "no pods")),
    (Phase.TESTING, (), checks.new_colour_ready, ("no children", "no pods")),
    (Phase.TESTING, (), checks.old_pods_reach_new, REACH),
    (Phase.TESTING, (), checks.smoke_passes, ("smoke was not tried",)),
    (Phase.SWITCHING, (), checks.fence_names_new, DATABASE),
    (Phase.SWITCHING, (), checks.routed_to_new, TRAFFIC),
    (Phase.MONITORING, (), checks.new_colour_lives, ("no pods",)),
    (Phase.MONITORING, (), checks.new_colour_executes, DATABASE),
    (Phase.MONITORING, (), checks.limits_kept, REPORTS),
    (Phase.MONITORING, (), checks.old_colour_drained, REPORTS),
    (Phase.PROMOTING, (), checks.promoted, ("no children",)),
    (Phase.ROLLING_BACK, BACK_AGAIN, checks.fence_names_old, DATABASE),
    (Phase.ROLLING_BACK, BACK_AGAIN, checks.routed_to_old, TRAFFIC),
    (Phase.ROLLING_BACK, UNTESTED, checks.reversed_, ("no children",)),
]
# What time alone decides, and what is over when nothing is there; draining pods are seen below.
OTHERS: set[Check] = {
    checks.nodes_settled,
    checks.watched_long_enough,
    checks.new_colour_empty,
    checks.new_colour_drained,
}


@pytest.mark.parametrize(
    ("phase", "faults", "check", "missing"),
    [(phase, faults, check, one) for phase, faults, check, missing in RESTS_ON for one in missing],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_what_is_not_known_is_never_passed(phase: Phase, faults: tuple[str, ...], check: Check, missing: str) -> None:
    given = passing(phase, *faults)
    if check is checks.old_colour_drained:
        given = drains_no_longer_than_it_takes(given)
        assert given.seen.engines
    assert check(given) is None

    assert check(IGNORANCE[missing](given)) is not None


def test_every_check_is_among_them() -> None:
    assert {check for _, _, check, _ in RESTS_ON} | OTHERS == {check for chain in CHECKS.values() for check in chain}


@pytest.mark.parametrize("phase", CHECKS)
@pytest.mark.parametrize("missing", DATABASE)
def test_without_the_database_only_what_does_not_need_it_goes_on(phase: Phase, missing: str) -> None:
    given = IGNORANCE[missing](passing(phase, *(UNTESTED if phase is Phase.ROLLING_BACK else ())))

    said = unmet(given, CHECKS[phase])

    assert (said is not None) == (phase in {Phase.SWITCHING, Phase.ROLLING_BACK, Phase.MONITORING})
