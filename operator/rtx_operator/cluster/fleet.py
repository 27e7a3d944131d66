"""The TradingEngines as last seen: by their watch, and by what this process wrote.

It tells whether an event is news, and what an engine at rest looks like. A stale entry is harmless: nothing is ever
written on its strength (ADR 0036). kopf tells of no deletion that it missed, so an entry does not prove that the engine
still exists, either.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from rtx_operator.cluster.client import Object

Scope = tuple[str, str]  # (namespace, name)


@dataclass(frozen=True, slots=True)
class _Known:
    version: int
    content: bytes  # JSON of the manifest, without resourceVersion and managedFields


class Fleet:
    """All engines of this operator class. `is_complete` once all were listed."""

    def __init__(self) -> None:
        self.is_complete = False
        self._engines: dict[Scope, _Known] = {}

    def manifests(self) -> Iterator[Object]:
        """Each engine, as `get` returns it."""
        yield from filter(None, map(self.get, self._engines))

    def put(self, manifest: Object) -> bool:
        """Keep the manifest unless a newer one is known. Returns whether it is news, and so a reason to reconcile."""
        meta = manifest["metadata"]
        scope, version = (meta["namespace"], meta["name"]), int(meta["resourceVersion"])
        known = self._engines.get(scope)
        if known is not None and known.version > version:
            return False
        kept = {name: value for name, value in meta.items() if name not in {"resourceVersion", "managedFields"}}
        content = json.dumps({**manifest, "metadata": kept}, separators=(",", ":"), sort_keys=True).encode()
        self._engines[scope] = _Known(version, content)
        return known is None or known.content != content

    def wrote(self, manifest: Object) -> None:
        """Keep the response to a write of status, so that its event is no news; what others write is, in status too.

        Not for an engine that is gone: its deletion may be known before the response to a write that came before it.
        """
        if (manifest["metadata"]["namespace"], manifest["metadata"]["name"]) in self._engines:
            self.put(manifest)

    def get(self, scope: Scope) -> Object | None:
        """A copy of the manifest without managedFields; None for an engine that was not seen, or is gone."""
        known = self._engines.get(scope)
        if known is None:
            return None
        manifest: Object = json.loads(known.content)
        manifest["metadata"]["resourceVersion"] = str(known.version)
        return manifest

    def remove(self, scope: Scope) -> None:
        """Drop an engine that is gone."""
        self._engines.pop(scope, None)
