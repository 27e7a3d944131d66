"""Server-side apply that sends a request only for a change, and detects every drift of the operator's fields.

It compares ownership, not values, because the API server defaults and normalises values. After an apply, an entry in
managedFields lists the operator's fields. Another writer that changes or removes one of them takes it out of the entry,
so a changed entry is a drift. Fields of other managers stay. Only this process knows what it applied last: after a
start it applies each object once, which changes nothing when nothing differs.
"""

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rtx_operator.api.names import Label
from rtx_operator.cluster.client import FIELD_MANAGER, ApiError, Client, Object, Resource
from rtx_operator.cluster.disputes import Disputes, managers_overruled
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import BY_KIND, CACHED_KINDS
from rtx_operator.cluster.watched import is_from_watch, owned_fields


class Applied(StrEnum):
    """What an apply did."""

    UNCHANGED = "Unchanged"
    CREATED = "Created"
    UPDATED = "Updated"  # the desired object has changed
    REPAIRED = "Repaired"  # another writer had changed the operator's fields
    RECREATED = "Recreated"  # another writer had deleted it
    DEFERRED = "Deferred"  # another writer changes it again and again; it is restored later
    TERMINATING = "Terminating"  # it is being deleted; a later reconcile creates it again


class ForeignObjectError(ApiError):
    """An object with the child's name exists, but does not belong to this engine."""


@dataclass(frozen=True, slots=True)
class _LastApplied:
    desired: str  # digest of the applied object
    ours: str  # digest of the managedFields entry after the apply
    uid: str


class Applier:
    """Applies the children of engines; `scope` is their engine's (namespace, name)."""

    def __init__(self, client: Client, read_cache: ReadCache, disputes: Disputes | None = None) -> None:
        self._client = client
        self._read_cache = read_cache
        self.disputes = disputes or Disputes()
        self._applied: dict[Hashable, dict[tuple[str, str], _LastApplied]] = {}

    def forget(self, scope: Hashable) -> None:
        """Drop the last applied objects of a deleted engine."""
        self._applied.pop(scope, None)
        self.disputes.forget(scope)

    def forget_child(self, scope: Hashable, child: Object, written: Object | None = None) -> None:
        """Drop the last applied object of a child that the operator deleted, or changed otherwise into `written`."""
        resource = BY_KIND[child["kind"]]
        self._applied.get(scope, {}).pop((resource.kind, child["metadata"]["name"]), None)
        self._read_cache.changed(scope)
        if written is None:
            self._read_cache.deleted(resource, child)
        else:
            self._read_cache.wrote(resource, written)

    def is_applied(self, scope: Hashable, desired: Object, live: Object | None) -> bool:
        """Whether `live` is what came of applying `desired`, unchanged since and to stay."""
        if live is None or live["metadata"].get("deletionTimestamp"):
            return False
        before = self._applied.get(scope, {}).get((desired["kind"], desired["metadata"]["name"]))
        return before is not None and before == _last_applied(_digest_of(desired), live)

    async def apply(
        self, scope: Hashable, resource: Resource, desired: Object, live: Object | None, owner_uid: str
    ) -> tuple[Applied, Object]:
        """Apply `desired`. `live` is the object as just read; None when it was not found.

        Returns the kind of change, and the object after it. What the watches delivered is read again before a write.
        Raises ForeignObjectError when another owner has the name, and ApiError.
        """
        meta = desired["metadata"]
        applied = self._applied.setdefault(scope, {})
        key = (resource.kind, meta["name"])
        before, digest = applied.get(key), _digest_of(desired)
        if self.is_applied(scope, desired, live) and live is not None:
            return Applied.UNCHANGED, live
        if live is None or is_from_watch(live):
            live = await self._client.get(resource, meta["namespace"], meta["name"])
        if live is not None and not _is_ours(live, desired, owner_uid):
            raise ForeignObjectError(
                409,
                "NameTaken",
                f"{resource.kind} {meta['name']} exists and was not made for this TradingEngine; "
                "delete or rename it, or give the TradingEngine another name",
            )
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return Applied.TERMINATING, live
        if live is not None and before == _last_applied(digest, live):
            return Applied.UNCHANGED, live
        is_repair = before is not None and before.desired == digest
        if is_repair and live is not None and self.disputes.wait_seconds(scope, key):
            return Applied.DEFERRED, live
        if resource in CACHED_KINDS:
            self._read_cache.changed(scope)
        result = await self._client.apply(resource, desired)
        self._read_cache.wrote(resource, result)
        applied[key] = _last_applied(digest, result)
        outcome = _outcome(before, live, result, digest)
        if outcome in {Applied.REPAIRED, Applied.RECREATED}:
            self.disputes.repaired(scope, key, managers_overruled(live, result) if live else ())
        return outcome, result


def _last_applied(digest: str, live: Object) -> _LastApplied:
    return _LastApplied(digest, _digest({"fields": owned_fields(live)}), live["metadata"]["uid"])


def _digest_of(desired: Object) -> str:
    """The resourceVersion of the observation guards the write; it is no part of the desired state."""
    meta = desired["metadata"]
    return _digest({**desired, "metadata": {name: value for name, value in meta.items() if name != "resourceVersion"}})


def _outcome(before: _LastApplied | None, live: Object | None, result: Object, digest: str) -> Applied:
    if live is None:
        return Applied.RECREATED if before else Applied.CREATED
    if live["metadata"]["resourceVersion"] == result["metadata"]["resourceVersion"]:
        return Applied.UNCHANGED
    return Applied.REPAIRED if before and before.desired == digest else Applied.UPDATED


def _is_ours(live: Object, desired: Object, owner_uid: str) -> bool:
    """Whether the object has this engine's label, or the operator made it for this engine and it lost the label."""
    meta = live["metadata"]
    engine = desired["metadata"].get("labels", {}).get(Label.ENGINE.value)
    if engine and (meta.get("labels") or {}).get(Label.ENGINE.value) == engine:
        return True
    owners = [reference["uid"] for reference in meta.get("ownerReferences", [])]
    if owners:
        return owner_uid in owners
    return any(entry.get("manager") == FIELD_MANAGER for entry in meta.get("managedFields", []))


def _digest(value: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
