"""When a restore begins: a TradingEngineRestore of the engine has not begun, and those before it are over."""

from pydantic import ValidationError

from rtx_operator.api.enums import Component, RestorePhase
from rtx_operator.api.kinds import TRADING_ENGINE_RESTORE
from rtx_operator.api.names import MAX_DATABASE_INSTANCES, Names
from rtx_operator.api.restore_source import RestoreSource
from rtx_operator.api.status import Restore
from rtx_operator.desired.render import digest
from rtx_operator.observation import Object, Observation
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.restore.context import named_backup
from rtx_operator.operations.state import PersistedState


def trigger(state: PersistedState, given: OperationInput) -> PersistedState | None:
    """The state with a new restore in Pending; None without one."""
    asked = next(iter(waiting_restores(given.seen)), None)
    if asked is None or _is_known(asked, state) or not _last_is_settled(state, given.seen):
        return None
    return state.with_record(_begun(asked, given))


def waiting_restores(seen: Observation) -> list[Object]:
    """The TradingEngineRestores that have not begun, the oldest first."""
    found = [one for one in seen.children_of(TRADING_ENGINE_RESTORE.name) if _has_not_begun(one)]
    return sorted(found, key=lambda one: (one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]))


def _has_not_begun(restore: Object) -> bool:
    """One that a later release wrote, and this one cannot read, does not begin here."""
    try:
        RestoreSource.model_validate(restore["spec"]["source"])
    except ValidationError:
        return False
    is_going = restore["metadata"].get("deletionTimestamp")
    return not is_going and (restore.get("status") or {}).get("phase", RestorePhase.PENDING) == RestorePhase.PENDING


def _is_known(asked: Object, state: PersistedState) -> bool:
    """Its own status may be one reconcile behind."""
    return state.restore is not None and state.restore.uid == asked["metadata"]["uid"]


def _last_is_settled(state: PersistedState, seen: Observation) -> bool:
    """The last one's own status says that it is over: one that is forgotten here would begin again."""
    last = state.restore
    found = seen.child(TRADING_ENGINE_RESTORE.name, last.name) if last else None
    if last is None or found is None or found["metadata"]["uid"] != last.uid:
        return True
    ended = {phase.value for phase in RestorePhase if phase.is_terminal}
    return (found.get("status") or {}).get("phase") in ended


def _begun(asked: Object, given: OperationInput) -> Restore:
    meta, source = asked["metadata"], RestoreSource.model_validate(asked["spec"]["source"])
    named = named_backup(given.seen, source.backup or "")
    return Restore(
        id=restore_id(meta["uid"]),
        phase=RestorePhase.PENDING,
        started_at=given.now,
        since=given.now,
        name=meta["name"],
        uid=meta["uid"],
        source=source,
        folder=(named.folder if named else source.folder) or given.desired.backup_folder,
        label=named.label if named else "",
        servers=_volumes(given.seen, Names(given.engine.name)),
    )


def restore_id(uid: str) -> str:
    """Names the restore's Jobs, the folders on the volumes, and the new folder in the repository."""
    return digest({"restore": uid})


def _volumes(seen: Observation, names: Names) -> int:
    """How many volumes of the database there are, from the first one on: those after a gap are of no cluster."""
    count = 0
    while count < MAX_DATABASE_INSTANCES and seen.child(
        "PersistentVolumeClaim", names.claim(Component.DATABASE, count)
    ):
        count += 1
    return count
