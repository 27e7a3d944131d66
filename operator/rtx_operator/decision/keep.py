"""What deletionPolicy Retain asks for, in every state of an engine: what holds its data survives it.

There is no finalizer (ADR 0023): what is not kept while the engine lives is deleted with it. So whatever keeps an
object from being applied as desired (a pause, lost passwords, a spec that cannot be read) must not keep its data from
being kept (ADR 0056).
"""

from collections.abc import Collection, Iterable, Iterator

from rtx_operator.api.enums import DeletionPolicy
from rtx_operator.observation import Object
from rtx_operator.operations.effects import Apply, Effect, KeepData

Key = tuple[str, str]  # (kind, name)


def data_to_keep(
    policy: str | None, children: Iterable[Object], uid: str, applied: Collection[Key] = ()
) -> tuple[KeepData, ...]:
    """The effect by which the children that hold data survive the TradingEngine of this uid; none under Delete.

    Without those that are `applied` anyway, as they are to be. Nothing else of an object is changed: somebody may be at
    work on it.
    """
    if policy != DeletionPolicy.RETAIN:
        return ()
    expendable = tuple(child for child in children if is_expendable(child, uid) and _key(child) not in applied)
    return (KeepData(expendable),) if expendable else ()


def is_expendable(child: Object, uid: str) -> bool:
    """Whether the child holds data or its passwords, and would be deleted with the TradingEngine of this uid."""
    if child["kind"] == "Secret":
        return any(owner["uid"] == uid for owner in child["metadata"].get("ownerReferences") or [])
    policy = child.get("spec", {}).get("persistentVolumeClaimRetentionPolicy") or {}
    return child["kind"] == "StatefulSet" and policy.get("whenDeleted") == "Delete"


def applied_by(apply: Iterable[Object], effects: Iterable[Effect], refused: Collection[Key]) -> frozenset[Key]:
    """What a decision applies, but for what the API server refused the last time."""
    return frozenset(_applied(apply, effects)) - frozenset(refused)


def _applied(apply: Iterable[Object], effects: Iterable[Effect]) -> Iterator[Key]:
    yield from map(_key, apply)
    for effect in effects:
        if isinstance(effect, Apply):
            yield from map(_key, effect.objects)


def _key(child: Object) -> Key:
    return child["kind"], child["metadata"]["name"]
