"""What the watches have delivered: the newest known version of every object, by engine.

A kind is *complete* from the end of its list until its watch breaks. Only then does a missing object count as absent:
before it, "not seen" says nothing. After a watch that was away for too long the kind is listed again, and what that
list lacks is dropped: no event tells of an object that was deleted meanwhile.

Versions only grow, so what is newer is told by comparing them. Where that ends, all that this process knows is void.

An engine has some forty objects, and a fleet has thousands of engines, so objects are kept as JSON without what no
decision reads: other managers' fields, and of the operator's own fields only a digest (see `owned_fields`).
"""

import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rtx_operator.api.names import Label
from rtx_operator.cluster.client import FIELD_MANAGER, Object, Resource
from rtx_operator.cluster.resources import AUTOSCALER, DISRUPTION_BUDGET, POD
from rtx_operator.members import POSITIONS, REPORT, report_of

Scope = tuple[str, str]  # an engine's (namespace, name)

# Fields that controllers write all the time and that no decision rests on: a change of them is no reason to reconcile.
_NOISE: Mapping[str, str] = {AUTOSCALER.kind: "status", DISRUPTION_BUDGET.kind: "status"}
DIGEST = "digest"  # in an entry of managedFields, in place of fieldsV1


class VersionsWentBackError(Exception):
    """The API server's versions are lower than those that it told before: its etcd was restored from a backup."""


class _Id(NamedTuple):
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Kept:
    scope: Scope
    uid: str
    version: int
    essence: bytes  # JSON, without resourceVersion
    noise: bytes  # JSON of the field in _NOISE, or of the report of a database server; empty without one

    def object(self) -> Object:
        found: Object = json.loads(self.essence)
        found["metadata"]["resourceVersion"] = str(self.version)
        if self.noise and found["kind"] == POD.kind:
            found["metadata"]["annotations"][REPORT] = json.loads(self.noise)
        elif self.noise:
            found[_NOISE[found["kind"]]] = json.loads(self.noise)
        return found


@dataclass(frozen=True, slots=True)
class WatchedObjects:
    """The objects with an engine's label, in all namespaces.

    `changed` is called with an engine's (namespace, name) when something that decisions rest on has changed.
    """

    changed: Callable[[Scope], None] = lambda _: None
    _objects: dict[_Id, _Kept] = field(default_factory=dict)
    _of: dict[Scope, set[_Id]] = field(default_factory=dict)
    _complete: set[tuple[str, str]] = field(default_factory=set)  # (kind, namespace); all namespaces if empty
    _passed: dict[tuple[str, str], int] = field(default_factory=dict)  # the same → the last version of its watch
    _revisions: dict[Scope, int] = field(default_factory=dict)
    _changes: Iterator[int] = field(default_factory=itertools.count)

    def is_complete(self, namespace: str, resources: Iterable[Resource]) -> bool:
        """Whether a missing object of these kinds is known not to exist in the namespace."""
        return all({(resource.kind, ""), (resource.kind, namespace)} & self._complete for resource in resources)

    def of(self, scope: Scope, resources: Iterable[Resource]) -> list[Object]:
        """The engine's objects of these kinds; new dicts at each call. It may lack some unless `is_complete`."""
        kinds = {resource.kind for resource in resources}
        return [self._objects[one].object() for one in sorted(self._of.get(scope, ())) if one.kind in kinds]

    def revision(self, scope: Scope) -> int:
        """A number that differs after something that decisions rest on has changed."""
        return self._revisions.get(scope, -1)

    def put(self, resource: Resource, live: Object) -> None:
        """Keep `live`, of an event or a list, unless a newer version is known."""
        kept = _kept(resource, live)
        if kept is None:
            return
        key = _id(resource, live)
        known = self._objects.get(key)
        if known is not None and (known.version > kept.version or known == kept):
            return
        self._objects[key] = kept
        if known is not None and known.scope != kept.scope:
            self._leave(key, known.scope)
            self._tell(known.scope)
        self._of.setdefault(kept.scope, set()).add(key)
        if known is None or (known.scope, known.uid, known.essence) != (kept.scope, kept.uid, kept.essence):
            self._tell(kept.scope)

    def wrote(self, resource: Resource, written: Object) -> None:
        """Keep the response to a write of the operator, unless the watch has come past it.

        Then the watch has told of this write, and of what has become of the object since, its deletion too.
        """
        kind, namespace = resource.kind, written["metadata"]["namespace"]
        passed = max(self._passed.get((kind, watched), 0) for watched in ("", namespace))
        if _version(written) > passed:
            self.put(resource, written)

    def remove(self, resource: Resource, gone: Object) -> None:
        """Drop an object that was deleted, or lost its label; not what is known to be newer than `gone`."""
        key = _id(resource, gone)
        known = self._objects.get(key)
        if known is not None and known.version <= _version(gone):
            self._drop(key, known)

    def passed(self, resource: Resource, version: int, namespace: str = "") -> None:
        """The watch of the kind in the namespace has told of everything up to `version`."""
        self._passed[resource.kind, namespace] = version

    def completed(
        self, resource: Resource, listed: Iterable[tuple[str, str]], version: int, namespace: str = ""
    ) -> None:
        """All objects of the kind in the namespace (empty: in all) were listed, as of `version`.

        `listed` has their (namespace, name). Raises VersionsWentBackError.
        """
        if version < (passed := self._passed.get((resource.kind, namespace), 0)):
            raise VersionsWentBackError(f"a list of {resource.kind} is as of {version}, and {passed} was told before")
        self.passed(resource, version, namespace)
        found = set(listed)
        for key, known in list(self._objects.items()):
            is_meant = key.kind == resource.kind and namespace in {"", key.namespace}
            if is_meant and key[1:] not in found and known.version <= version:
                self._drop(key, known)
        self._complete.add((resource.kind, namespace))

    def broken(self, resource: Resource, namespace: str = "") -> None:
        """The watch has ended with an error: what is known may be outdated."""
        self._complete.discard((resource.kind, namespace))

    def _drop(self, key: _Id, known: _Kept) -> None:
        del self._objects[key]
        self._leave(key, known.scope)
        self._tell(known.scope)

    def _tell(self, scope: Scope) -> None:
        self._revisions[scope] = next(self._changes)
        self.changed(scope)

    def _leave(self, key: _Id, scope: Scope) -> None:
        self._of[scope].discard(key)
        if not self._of[scope]:
            del self._of[scope]


def is_from_watch(live: Object) -> bool:
    """Whether an object was kept here, and so is no object as the API server has it."""
    return any(DIGEST in entry for entry in live["metadata"].get("managedFields", []))


def owned_fields(live: Object) -> list[str]:
    """The digests of the fields that the operator owns by apply, the same for a live object and for one kept here."""
    return [
        _digest(entry)
        for entry in live["metadata"].get("managedFields", [])
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
    ]


def _kept(resource: Resource, live: Object) -> _Kept | None:
    """None for an object without an engine's label."""
    meta = live["metadata"]
    name = (meta.get("labels") or {}).get(Label.ENGINE.value)
    if name is None:
        return None
    fields = [_compact(entry) for entry in meta.get("managedFields") or [] if entry.get("manager") == FIELD_MANAGER]
    essence = {
        **live,
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {**meta, "managedFields": fields},
    }
    del essence["metadata"]["resourceVersion"]
    noise = _without_noise(essence)
    scope = (sys.intern(meta["namespace"]), sys.intern(name))
    return _Kept(scope, meta["uid"], _version(live), _json(essence), _json(noise) if noise else b"")


def _without_noise(essence: Object) -> object:
    """Takes what no decision rests on out of the object, and returns it; None without any."""
    kind = essence["kind"]
    if kind in _NOISE:
        return essence.pop(_NOISE[kind], None)
    annotations = essence["metadata"].get("annotations") or {}
    if kind != POD.kind or REPORT not in annotations:
        return None
    # A database server reports its position with each write.
    report = {name: value for name, value in report_of(essence).items() if name not in POSITIONS}
    essence["metadata"]["annotations"] = {**annotations, REPORT: json.dumps(report, sort_keys=True)}
    return annotations[REPORT]


def _compact(entry: Object) -> Object:
    """An entry of managedFields with a digest of its fields in place of them, and without its time."""
    kept = {name: value for name, value in entry.items() if name not in {"fieldsV1", "fieldsType", "time"}}
    return {**kept, DIGEST: _digest(entry)}


def _digest(entry: Object) -> str:
    known = entry.get(DIGEST)
    return str(known) if known else hashlib.sha256(_json(entry.get("fieldsV1"))).hexdigest()[:32]


def _id(resource: Resource, live: Object) -> _Id:
    return _Id(resource.kind, sys.intern(live["metadata"]["namespace"]), live["metadata"]["name"])


def _version(live: Object) -> int:
    """Versions of one API server's objects are numbers that grow: its documentation allows to compare them."""
    return int(live["metadata"]["resourceVersion"])


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
