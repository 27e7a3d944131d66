"""Which pod of a server is replaced next, and who leads meanwhile (ADR 0122). Pure.

Of three servers of the cache: the last one first, each once all others are ready; one that leads hands over before it
ends.

Of three database servers: a standby that serves nobody, then the standbys, one at a time, each in sync again before the
next; then a standby of the new revision takes over, and the pod that led is replaced last.
"""

from dataclasses import dataclass

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Names
from rtx_operator.members import DatabaseMember, DatabaseMembers
from rtx_operator.observation import Object, is_applied, is_ready, revision_of
from rtx_operator.operations.database import can_take_over, database_members
from rtx_operator.operations.maintenance.context import MaintenanceContext


@dataclass(frozen=True, slots=True)
class Turn:
    """One of: a pod to replace, a server that is to lead, what is waited for."""

    replace: Object | None = None
    leader: DatabaseMember | None = None
    waits: str = ""


def next_turn(context: MaintenanceContext, revision: str) -> Turn | None:
    """The next thing to do until all pods are of the revision, and in sync; None when they are."""
    old = [pod for pod in context.pods if revision_of(pod) != revision]
    if ending := [pod["metadata"]["name"] for pod in context.pods if pod["metadata"].get("deletionTimestamp")]:
        name = ending[0]
        return Turn(
            waits=f"waiting for pod {name} to end; if its node is gone for good: kubectl delete pod {name} --force"
        )
    if old and not is_applied(context.seen.child("StatefulSet", context.server.workload.name), revision):
        return Turn(waits=f"waiting for the controller of StatefulSet {context.server.workload.name}")
    if context.server.size == 1:
        return Turn(replace=old[0]) if old else None
    if context.component is Component.CACHE:
        return _of_cache(context, old)
    return _of_several(context, revision, old)


def _of_cache(context: MaintenanceContext, old: list[Object]) -> Turn | None:
    last_first = sorted(old, key=lambda pod: str(pod["metadata"]["name"]), reverse=True)
    if idle := [pod for pod in last_first if not is_ready(pod)]:
        return Turn(replace=idle[0])
    ready = sum(map(is_ready, context.pods))
    if ready < context.server.size:
        return Turn(waits=f"{ready} of {context.server.size} pods of the cache are ready")
    return Turn(replace=last_first[0]) if old else None


def _of_several(context: MaintenanceContext, revision: str, old: list[Object]) -> Turn | None:
    names = Names(context.engine.name)
    seen = database_members(context.seen, names)
    behind = [one for one in seen.all if one.revision != revision]
    if idle := [one for one in behind if _serves_nobody(one, seen)]:
        return Turn(replace=_pod(old, idle[-1]))
    if len(seen.in_sync) < context.server.size:
        return Turn(waits=_missing(context, seen))
    if standbys := [one for one in behind if one is not seen.primary]:
        return Turn(replace=_pod(old, standbys[-1]))
    if not behind:
        return None
    able = can_take_over(context.seen, names)
    return Turn(leader=able[0]) if able else Turn(waits="waiting for a standby that may take over")


def _serves_nobody(member: DatabaseMember, seen: DatabaseMembers) -> bool:
    """While nobody leads, those that are ready are about to elect a primary: none of the others is taken away then."""
    if member.is_ready or (member.is_running and member.is_streaming):
        return False
    return seen.primary is not None or not any(one.is_ready for one in seen.all)


def _missing(context: MaintenanceContext, seen: DatabaseMembers) -> str:
    if seen.primary is None:
        return "waiting for a server of the database to lead"
    names = {f"{context.server.workload.name}-{ordinal}" for ordinal in range(context.server.size)}
    late = sorted(names - {one.name for one in seen.in_sync})
    return f"waiting for {' and '.join(late)} to be in sync with {seen.primary.name}"


def _pod(pods: list[Object], member: DatabaseMember) -> Object:
    return next(pod for pod in pods if pod["metadata"]["name"] == member.name)
