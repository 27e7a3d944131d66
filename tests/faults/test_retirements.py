"""What may hold a retirement: an evicted pod, contract migrations that fail, a pod that its node does not end.

None of it holds up the next release, and no request fails.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loads import Load, assert_kept_across_tests, no_request_fails
from nodes import processes
from rtx_demo import database
from rtx_demo.kubectl import Object
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import ConditionStatus, ConditionType, CutoverPhase, Reason, RetirementPhase
from upgrades import (
    FAST_ROLLOUT,
    NEW_VERSION,
    Upgrades,
    assert_succeeded,
    new_revision,
    retirement_is_under_way,
)

pytestmark = pytest.mark.usefixtures("module_engine")

RETIRE_AT_ONCE: Object = {"rollout": {**FAST_ROLLOUT, "keepPreviousFor": "0s"}}
KEEP: Object = {"rollout": FAST_ROLLOUT}
HANGING_SECONDS = 480.0  # 60 to end, 300 until the retirement gives up, 60 of reconciles and pods
# Takes the name of a constraint that the contract migrations of version 1.1.0 add.
CREATE_CONFLICT_SQL = "ALTER TABLE orders ADD CONSTRAINT orders_quoted_at CHECK (true) NOT VALID;"
DROP_CONFLICT_SQL = "ALTER TABLE orders DROP CONSTRAINT orders_quoted_at;"


def retirement_ends(upgrades: Upgrades, *, deadline: float = 240.0) -> Object:
    """The status once the retirement of the previous release is over."""
    return upgrades.wait(
        lambda status: status.get("retirement") and not status.get("previous") and not retirement_is_under_way(status),
        "a retirement that is over",
        deadline=deadline,
    )


def stalled(upgrades: Upgrades) -> Object:
    """The condition Stalled."""
    [condition] = [one for one in upgrades.status()["conditions"] if one["type"] == ConditionType.STALLED]
    found: Object = condition
    return found


def test_an_evicted_pod_of_the_old_colour_holds_up_nothing(upgrades: Upgrades, loaded: Load) -> None:
    with no_request_fails(loaded):
        # Given an active colour, and a pod of it that its node ended for good: its object stays, as an evicted one's.
        active = upgrades.selected_colour()
        evicted = upgrades.pods(active)[0]["metadata"]["name"]
        where = ("--namespace", upgrades.engine.namespace)
        upgrades.kubectl.run("patch", "pod", evicted, *where, '--patch={"spec":{"activeDeadlineSeconds":1}}')
        eventually(lambda: phase_of(upgrades, evicted) == "Failed", "a pod in phase Failed")

        # When another release takes over, and that colour is retired.
        upgrades.reset_spec(RETIRE_AT_ONCE)
        assert_succeeded_although_stalled(upgrades.upgrade(**new_revision()))
        status = retirement_ends(upgrades)
        assert status["retirement"]["release"]["colour"] == active

        # Then the retirement succeeds beside the object that is left, and so does the next upgrade.
        assert status["retirement"]["phase"] == RetirementPhase.SUCCEEDED, status["retirement"]
        upgrades.reset_spec(KEEP)
        assert_succeeded(upgrades, upgrades.upgrade(**new_revision()))


def phase_of(upgrades: Upgrades, pod: str) -> str:
    found = upgrades.kubectl.get("pod", pod, upgrades.engine.namespace) or {}
    return str(found.get("status", {}).get("phase", ""))


def test_a_contract_migration_that_fails_holds_up_no_release(upgrades: Upgrades, loaded: Load) -> None:
    with no_request_fails(loaded):
        # Given version 1.1.0, whose contract migrations cannot run.
        upgrades.ensure_version(NEW_VERSION)
        database.psql(upgrades.engine, CREATE_CONFLICT_SQL)

        # When the release before it is retired.
        upgrades.reset_spec(RETIRE_AT_ONCE)
        assert_succeeded_although_stalled(upgrades.upgrade(**new_revision()))
        status = retirement_ends(upgrades)

        # Then the retirement fails, and Stalled names the Job and its cause.
        assert status["retirement"]["phase"] == RetirementPhase.FAILED, status["retirement"]
        condition = stalled(upgrades)
        assert (condition["status"], condition["reason"]) == (ConditionStatus.TRUE, Reason.CONTRACT_FAILED)
        assert "orders_quoted_at" in condition["message"]

        # When the next release is asked for.
        upgrades.reset_spec(KEEP)
        cutover = upgrades.upgrade(**new_revision())

        # Then it takes over, and nothing is stalled.
        assert_succeeded(upgrades, cutover)
        assert stalled(upgrades)["status"] == ConditionStatus.FALSE

        # When the cause is corrected, and that release's predecessor is retired.
        database.psql(upgrades.engine, DROP_CONFLICT_SQL)
        upgrades.reset_spec(RETIRE_AT_ONCE)
        assert_succeeded_although_stalled(upgrades.upgrade(**new_revision()))

        # Then what was pending has run.
        status = retirement_ends(upgrades)
        assert status["retirement"]["phase"] == RetirementPhase.SUCCEEDED, status["retirement"]
        halves = "SELECT string_agg(DISTINCT half, ',' ORDER BY half) FROM schema_migrations;"
        assert database.psql(upgrades.engine, halves).strip() == "contract,expand"
        upgrades.reset_spec(KEEP)
        upgrades.wait_until_reconciled()


def assert_succeeded_although_stalled(cutover: Object) -> None:
    """The cutover succeeded; its predecessor is being retired, or that failed."""
    assert cutover["phase"] == CutoverPhase.SUCCEEDED, f"the cutover did not succeed: {cutover}"


def test_a_pod_that_its_node_does_not_end_holds_up_no_release(upgrades: Upgrades, loaded: Load) -> None:
    with no_request_fails(loaded):
        # Given a pod of the active colour that its node can no longer end.
        active = upgrades.selected_colour()
        hanging = upgrades.pods(active)[0]
        with frozen_shim(hanging):
            # When another release takes over, and that colour is retired.
            upgrades.reset_spec(RETIRE_AT_ONCE)
            assert_succeeded_although_stalled(upgrades.upgrade(**new_revision()))
            status = retirement_ends(upgrades, deadline=HANGING_SECONDS)

            # Then the retirement is given up, and Stalled names the pod and the command that helps.
            assert status["retirement"]["phase"] == RetirementPhase.FAILED, status["retirement"]
            assert stalled(upgrades)["reason"] == Reason.PODS_REMAIN
            assert "kubectl delete pod" in stalled(upgrades)["message"]

            # When the next release is asked for, in the colour of that pod, then it takes over.
            upgrades.reset_spec(KEEP)
            assert_succeeded_although_stalled(upgrades.upgrade(**new_revision()))
            assert upgrades.selected_colour() == active
            assert upgrades.fence()["revisions"] == [upgrades.status()["active"]["revision"]]
            assert processes(hanging, "rtx-engine"), "the pod has ended after all: the test shows nothing"
        upgrades.wait_until_reconciled()


@contextmanager
def frozen_shim(pod: Object) -> Iterator[None]:
    """Inside the block the container runtime cannot end the pod, which runs on."""
    engine = processes(pod, "rtx-engine")[0]
    shim = int(Path(f"/proc/{engine}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(shim, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(shim, signal.SIGCONT)


def test_no_promise_is_broken_over_all_faults(upgrades: Upgrades, loaded: Load) -> None:
    # Given the load that ran through the faults above.
    # When its ledger is compared with the database.
    # Then no request failed, no order was lost or doubled, no event was missed, and only executors executed.
    assert_kept_across_tests(loaded)
