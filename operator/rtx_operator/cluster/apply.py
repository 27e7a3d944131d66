"""Server-side apply that writes only when something is to be written, and notices every drift of what we own.

What is compared is not values (the API server defaults and normalises them) but ownership: right after an apply the
object's managedFields say exactly which fields are ours. Whoever changes or removes one of them takes it out of that
entry, so an entry that differs from the remembered one *is* a drift, and one that is the same is none. Fields that
others added are theirs and stay. What was applied last is known to this process only: after
a start each object is applied once, which the API server stores as nothing when nothing differs.
"""

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rtx_operator.cluster.client import FIELD_MANAGER, ApiError, Client, Object, Resource
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import CACHED_KINDS


class Applied(StrEnum):
    """What an apply did."""

    UNCHANGED = "Unchanged"
    CREATED = "Created"
    UPDATED = "Updated"  # we want something else than before
    REPAIRED = "Repaired"  # somebody had changed what is ours
    RECREATED = "Recreated"  # somebody had deleted it
    TERMINATING = "Terminating"  # it is being deleted: it is made again once it is gone


class ForeignObjectError(ApiError):
    """An object of the name we need exists, and this engine did not make it."""


@dataclass(frozen=True, slots=True)
class _LastApplied:
    desired: str  # digest of what was applied
    ours: str  # digest of the managedFields entry it left
    uid: str


class Applier:
    """Applies the children of engines. `scope` names the engine whose children these are, for `forget`."""

    def __init__(self, client: Client, read_cache: ReadCache) -> None:
        self._client = client
        self._read_cache = read_cache
        self._applied: dict[Hashable, dict[tuple[str, str], _LastApplied]] = {}

    def forget(self, scope: Hashable) -> None:
        """Drop what is remembered of an engine that is gone."""
        self._applied.pop(scope, None)

    def forget_child(self, scope: Hashable, kind: str, name: str) -> None:
        """Drop what is remembered of a child that we deleted ourselves."""
        self._applied.get(scope, {}).pop((kind, name), None)
        self._read_cache.changed(scope)

    async def apply(
        self, scope: Hashable, resource: Resource, desired: Object, live: Object | None, owner_uid: str
    ) -> tuple[Applied, Object]:
        """Make `desired` true; `live` is the object as just read, None when the engine's labels do not find it.

        Returns what was done and the object as it is now.
        Raises ForeignObjectError when the name is taken, and what the client raises.
        """
        meta = desired["metadata"]
        applied = self._applied.setdefault(scope, {})
        key = (resource.kind, meta["name"])
        before = applied.get(key)
        if live is None:
            live = await self._client.get(resource, meta["namespace"], meta["name"])
            if live is not None and not _is_ours(live, owner_uid):
                raise ForeignObjectError(
                    409,
                    "NameTaken",
                    f"{resource.kind} {meta['name']} exists and was not made for this TradingEngine; "
                    "delete or rename it, or give the TradingEngine another name",
                )
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return Applied.TERMINATING, live
        # The version at which it was seen guards a write, and is no part of what is wanted.
        unguarded = {name: value for name, value in meta.items() if name != "resourceVersion"}
        wanted = _digest({**desired, "metadata": unguarded})
        if live is not None and before == _LastApplied(wanted, _ours(live), live["metadata"]["uid"]):
            return Applied.UNCHANGED, live
        if resource in CACHED_KINDS:
            self._read_cache.changed(scope)
        result = await self._client.apply(resource, desired)
        applied[key] = _LastApplied(wanted, _ours(result), result["metadata"]["uid"])
        return _outcome(before, live, result, wanted), result


def _outcome(before: _LastApplied | None, live: Object | None, result: Object, wanted: str) -> Applied:
    if live is None:
        return Applied.RECREATED if before else Applied.CREATED
    if live["metadata"]["resourceVersion"] == result["metadata"]["resourceVersion"]:
        return Applied.UNCHANGED
    return Applied.REPAIRED if before and before.desired == wanted else Applied.UPDATED


def _is_ours(live: Object, owner_uid: str) -> bool:
    """Made by us for this engine, although its labels no longer say so."""
    meta = live["metadata"]
    owners = [reference["uid"] for reference in meta.get("ownerReferences", [])]
    if owners:
        return owner_uid in owners
    return any(entry.get("manager") == FIELD_MANAGER for entry in meta.get("managedFields", []))


def _ours(live: Object) -> str:
    """A digest of the fields that are ours by apply."""
    fields = [
        entry.get("fieldsV1")
        for entry in live["metadata"].get("managedFields", [])
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
    ]
    return _digest({"fields": fields})


def _digest(value: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
