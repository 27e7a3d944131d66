"""Reads the API server's audit log: what one user asked of it, by the API server's own account."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Request:
    """One request. `at` is when it arrived, in seconds since 1970."""

    at: float
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    selector: str  # the request's URI, which has the label selector of a list
    user_agent: str
    address: str

    @property
    def is_lease(self) -> bool:
        return self.resource == "leases"

    def concerns(self, engine: str) -> bool:
        """Whether it reads or writes this engine or its objects."""
        return self.name == engine or f"engine%3D{engine}" in self.selector or f"engine={engine}" in self.selector


def end(log: Path) -> int:
    """The byte after the last whole line: where reading goes on later. The API server may be amid the next one."""
    size = log.stat().st_size
    with log.open("rb") as lines:
        lines.seek(start := max(0, size - _LONGEST_LINE))
        return start + lines.read(size - start).rfind(b"\n") + 1


def requests(log: Path, user: str, since: int = 0) -> Iterator[Request]:
    """The requests of `user` from byte `since` of the log on; a watch counts when it begins."""
    with log.open("rb") as lines:
        lines.seek(since)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            entry = json.loads(line)
            counted = "ResponseStarted" if entry["verb"] == "watch" else "ResponseComplete"
            if entry["user"]["username"] != user or entry["stage"] != counted:
                continue
            target = entry.get("objectRef") or {}
            yield Request(
                dt.datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp(),
                entry["verb"],
                target.get("resource", entry["requestURI"].partition("?")[0]),
                target.get("subresource", ""),
                target.get("namespace", ""),
                target.get("name", ""),
                entry["requestURI"],
                entry.get("userAgent", ""),
                entry.get("sourceIPs", [""])[0],
            )


def by_kind(found: list[Request]) -> Counter[str]:
    """The number of requests by verb and resource."""
    return Counter(f"{one.verb} {one.resource}{'/' + one.subresource if one.subresource else ''}" for one in found)
