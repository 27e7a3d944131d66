"""Walks through a maintenance in the small world, for its tests."""

import copy

from cutover_walks import reconciled
from cutover_world import World
from rtx_operator.api.enums import ConditionType, MaintenancePhase
from rtx_operator.members import REPORT
from rtx_operator.observation import Object
from rtx_operator.operations.arbiter import OPERATIONS

DATABASE, CACHE = "rtx-postgres-0", "rtx-redis-0"
WALK = [
    MaintenancePhase.PENDING,
    MaintenancePhase.CHECKING,
    MaintenancePhase.RESTARTING,
    MaintenancePhase.VERIFYING,
    MaintenancePhase.SUCCEEDED,
]
TYPO = {"image": "example.com/postgres:nope"}
MORE = {"resources": {"requests": {"memory": "3Gi"}}}


def until(world: World, phase: MaintenancePhase, reconciles: int = 60, seconds: float = 1) -> bool:
    for _ in range(reconciles):
        reconciled(world, 1, seconds)
        if world.stored.get("maintenance", {}).get("phase") == phase:
            return True
    return False


def phases(world: World, reconciles: int = 30) -> list[MaintenancePhase]:
    """The phases that maintenances enter."""
    entered: list[MaintenancePhase] = []
    for _ in range(reconciles):
        world.tick()
        decision = world.reconcile()
        world.judge()
        if decision and isinstance(decision.entered, MaintenancePhase):
            entered.append(decision.entered)
    return entered


def taken_away(world: World) -> list[str]:
    """Records, from now on, the names of the pods of database and cache that are taken away."""
    names: list[str] = []
    judge = world.judge_server_pod

    def record(pod: Object) -> None:
        names.append(pod["metadata"]["name"])
        judge(pod)

    world.judge_server_pod = record  # type: ignore[method-assign]
    return names


def server_pods(world: World) -> dict[str, Object]:
    """Without what Patroni reports."""
    pods = copy.deepcopy({name: world.pods[name] for name in (DATABASE, CACHE)})
    for pod in pods.values():
        pod["metadata"].get("annotations", {}).pop(REPORT, None)
    return pods


def condition(world: World, kind: ConditionType) -> Object:
    return next(one for one in world.stored["conditions"] if one["type"] == kind)


def moving(world: World) -> list[str]:
    """The operations that move, by the stored status."""
    stored = world.stored
    found = []
    for operation in OPERATIONS.values():
        record = stored.get(operation.name.lower())
        row = operation.phases[type(operation.phases.first)(record["phase"])] if record else None
        if row and not row.is_terminal and not row.only_waits:
            found.append(operation.name)
    return found
