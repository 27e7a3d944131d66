"""No operation waits without end for what only a maintenance mends: it lets that through, and the fence stays."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import desired_states
import pytest
from cutover_walks import lose, reconciled, upgraded
from cutover_world import CREDENTIALS, Unreachable, World
from maintenance_walks import taken_away, until
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import CutoverPhase, MaintenancePhase
from rtx_operator.observation import FenceReport, Object, Observation
from rtx_operator.operations.cutover.phases import PHASES
from rtx_operator.operations.effects import MoveFence

MORE_MEMORY = {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}}}
INTERNAL = ("Secret", "rtx-internal")
UNDER_WAY = [phase for phase, row in PHASES.rows.items() if not row.is_terminal]


def database_template(world: World) -> Object:
    found: Object = world.children["StatefulSet", "rtx-postgres"]["spec"]["template"]
    return found


def maintenance_phase(world: World) -> str:
    return str((world.stored.get("maintenance") or {}).get("phase"))


def run_until(world: World, condition: Callable[[], object], reconciles: int = 200, seconds: float = 5) -> bool:
    for _ in range(reconciles):
        if condition():
            return True
        reconciled(world, 1, seconds)
    return bool(condition())


def reach(world: World, phase: CutoverPhase) -> None:
    """A cutover to 1.1.0 that is in `phase`."""
    if phase is CutoverPhase.PENDING:
        world.faults.add("no database")
    if phase is CutoverPhase.ROLLING_BACK:
        world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)


def heal_once_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is down for want of memory, until its pod is made from another template."""
    before, tick = database_template(world), world.tick
    world.faults.add("no database")

    def healing(seconds: float = 1) -> None:
        if database_template(world) != before:
            world.faults.discard("no database")
        tick(seconds)

    monkeypatch.setattr(world, "tick", healing)


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_edit_that_mends_the_database_is_carried_out_in_every_phase_of_a_cutover(
    world: World, phase: CutoverPhase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cutover amid which the database is killed for want of memory, again and again
    reach(world, phase)
    heal_once_replaced(world, monkeypatch)

    # When it gets more, then it restarts with it, and the cutover ends
    world.set_spec(database=MORE_MEMORY)
    assert run_until(world, lambda: maintenance_phase(world) == MaintenancePhase.SUCCEEDED)
    assert run_until(world, lambda: world.phase is not None and world.phase.is_terminal)


@pytest.mark.parametrize("phase", ["Emptying", "Contracting"])
def test_edit_that_mends_the_database_is_carried_out_amid_a_retirement(
    world: World, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a retirement amid which the database is killed, and a Job that does not end
    upgraded(world)
    world.faults.add("jobs hang")
    assert run_until(world, lambda: (world.stored.get("retirement") or {}).get("phase") == phase, seconds=120)
    heal_once_replaced(world, monkeypatch)

    # When it gets more memory, then it restarts with it, and the retirement ends
    world.set_spec(database=MORE_MEMORY)
    assert run_until(world, lambda: maintenance_phase(world) != "None", 1000)
    world.faults.discard("jobs hang")
    assert run_until(world, lambda: maintenance_phase(world) == MaintenancePhase.SUCCEEDED)
    assert run_until(world, lambda: world.stored["retirement"]["phase"] == "Succeeded")


@pytest.fixture
def mended(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A rollback that waits for the database, and an edit that would mend it."""
    reach(world, CutoverPhase.ROLLING_BACK)
    heal_once_replaced(world, monkeypatch)
    world.set_spec(database=MORE_MEMORY)
    return world


def test_rollback_goes_on_after_the_maintenance_that_it_let_through(mended: World) -> None:
    cause = mended.stored["cutover"]["message"]
    assert until(mended, MaintenancePhase.RESTARTING, 120)

    # Its cause stays in status while the pod is replaced
    assert mended.stored["cutover"]["message"] == cause
    assert mended.run_until(CutoverPhase.ROLLED_BACK, 80)
    assert mended.active["version"] == "1.0.0"


def test_rollback_whose_database_takes_no_writes_lets_maintenance_through(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a rollback, and a database that answers and takes no writes, as one without space
    def read_only(_: MoveFence) -> None:
        raise Unreachable("cannot execute UPDATE in a read-only transaction")

    world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    monkeypatch.setattr(world, "move_fence", read_only)
    assert world.run_until(CutoverPhase.ROLLING_BACK)

    # When the database is edited, then its pod is replaced
    world.set_spec(database=MORE_MEMORY)
    assert until(world, MaintenancePhase.RESTARTING, 120)


def test_rollback_that_waits_for_old_pods_by_itself_lets_no_maintenance_take_the_database(world: World) -> None:
    # Given a good version in Monitoring, one of two old pods that does not come up again, and an edit of the database
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    world.faults.add("unready:1.0.0")
    world.crash(world.colour_pods("blue")[0])
    away = taken_away(world)

    # When the user takes the version back, in one edit with more memory for the database
    world.set_spec(version="1.0.0", database=MORE_MEMORY)
    moved_at = None
    for second in range(90):
        reconciled(world, 1)
        if world.fence and world.fence.executors == ("blue",) and moved_at is None:
            moved_at = second
        if world.phase is not CutoverPhase.ROLLING_BACK:
            break

    # Then the fence moves after that minute (ADR 0072): nothing is stuck, and no database is taken away amid it
    assert moved_at is not None, world.fence
    assert moved_at < 65, (moved_at, away)
    assert not away


def test_silence_for_a_moment_lets_no_maintenance_through(mended: World) -> None:
    reconciled(mended, 30)

    assert maintenance_phase(mended) == "None"


def test_rollback_goes_first_when_the_database_answers_before_its_pod_is_replaced(mended: World) -> None:
    # Given a maintenance beside a rollback, that tries its image
    mended.faults.add("jobs hang")
    assert until(mended, MaintenancePhase.CHECKING, 120)

    # When the database answers again
    mended.faults.discard("no database")

    # Then the rollback ends, and the maintenance after it
    assert mended.run_until(CutoverPhase.ROLLED_BACK, 80)
    assert maintenance_phase(mended) == MaintenancePhase.CHECKING
    mended.faults.discard("jobs hang")
    assert until(mended, MaintenancePhase.SUCCEEDED)


def test_pause_does_not_count_as_silence(mended: World) -> None:
    reconciled(mended, 5)
    mended.set_spec(paused=True)
    reconciled(mended, 60)

    mended.set_spec(paused=False)
    reconciled(mended, 20)

    assert maintenance_phase(mended) == "None"


def test_old_pods_that_the_database_refuses_let_its_maintenance_through(world: World) -> None:
    # Given a rollback whose old pods do not come up: the database does not have the password that they have
    reach(world, CutoverPhase.MONITORING)
    world.credentials = {"data": {**CREDENTIALS["data"], "DB_PASSWORD": "bmV3"}}
    lose(world, "blue", "1.0.0")
    world.faults.add("errors:1.1.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK)

    # When it lasts, then the database restarts with the new password
    assert until(world, MaintenancePhase.SUCCEEDED, 200)
    world.faults.discard("unready:1.0.0")
    assert world.run_until(CutoverPhase.ROLLED_BACK, 80)


# --- passwords that are made anew ---


@pytest.fixture
def _seeded() -> Iterator[None]:
    yield
    desired_states.SEED = bytes(32)
    desired_states.forget_desired_states()


def refuse_operator(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database refuses the operator's password until its pod has restarted, which sets it."""
    before, observe, move = database_template(world), world.observe, world.move_fence

    def observed(engine: TradingEngine) -> Observation:
        seen = observe(engine)
        refused = FenceReport(error='password authentication failed for user "rtx_operator"')
        return replace(seen, database=refused) if database_template(world) == before else seen

    def moved(effect: MoveFence) -> None:
        if database_template(world) == before:
            raise Unreachable("password authentication failed")
        move(effect)

    monkeypatch.setattr(world, "observe", observed)
    monkeypatch.setattr(world, "move_fence", moved)


@pytest.mark.usefixtures("_seeded")
@pytest.mark.parametrize("phase", [CutoverPhase.TESTING, CutoverPhase.SWITCHING, CutoverPhase.MONITORING])
def test_new_passwords_reach_the_database_amid_a_cutover(
    world: World, phase: CutoverPhase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cutover, and a Secret that is deleted and made anew, as the message says
    reach(world, phase)
    secret = world.children.pop(INTERNAL)
    reconciled(world, 1)
    world.children[INTERNAL] = {name: value for name, value in secret.items() if name != "data"}
    desired_states.SEED = bytes([7]) * 32
    desired_states.forget_desired_states()
    before = database_template(world)
    refuse_operator(world, monkeypatch)

    # When it goes on, then the database restarts with its new passwords, and the cutover ends
    assert run_until(world, lambda: database_template(world) != before)
    assert run_until(world, lambda: world.phase is not None and world.phase.is_terminal)


# --- the version that goes on executing ---


def executors(world: World) -> tuple[str, ...]:
    return world.fence.executors if world.fence else ()


def test_version_that_executes_amid_a_stuck_rollback_gets_a_new_password(stuck: World) -> None:
    # Given a rollback that has waited for the old colour for a minute
    reconciled(stuck, 60)
    key = ("Deployment", "rtx-engine-green")
    before = stuck.children[key]["spec"]["template"]["metadata"]["annotations"]

    # When the password is changed, and the database restarts with it
    stuck.credentials = {"data": {**CREDENTIALS["data"], "DB_PASSWORD": "bmV3"}}
    assert until(stuck, MaintenancePhase.SUCCEEDED, 200)
    reconciled(stuck, 5)

    # Then the pods that execute get it, too
    assert (stuck.phase, executors(stuck)) == (CutoverPhase.ROLLING_BACK, ("green",))
    assert stuck.children[key]["spec"]["template"]["metadata"]["annotations"] != before


def test_deployment_that_executes_amid_a_stuck_rollback_is_repaired(stuck: World) -> None:
    # Given a rollback that has waited for the old colour for a minute
    reconciled(stuck, 60)
    assert executors(stuck) == ("green",)

    # When somebody deletes what executes
    del stuck.children["Deployment", "rtx-engine-green"]
    for pod in stuck.colour_pods("green"):
        stuck.pods.pop(pod)
        stuck.processes.pop(pod)
    reconciled(stuck, 5)

    # Then it is made again
    assert executors(stuck) == ("green",)
    assert ("Deployment", "rtx-engine-green") in stuck.children
