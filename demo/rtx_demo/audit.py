"""A user's writes, read from the API server's audit log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Write:
    """A write request, successful or not."""

    verb: str
    resource: str
    namespace: str  # empty for cluster-scoped objects
    name: str
    at: str  # RFC 3339, UTC


def writes(log: Path, *, user: str, since: str, until: str) -> Iterator[Write]:
    """The writes of `user` between two RFC 3339 times, both included."""
    with log.open() as lines:
        for line in lines:
            if user not in line:  # most lines are other users', and parsing is slow
                continue
            event = json.loads(line)
            at = event["requestReceivedTimestamp"]
            if event["user"]["username"] == user and event["verb"] in WRITES and since <= at <= until:
                about = event.get("objectRef", {})
                resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
                yield Write(event["verb"], resource, about.get("namespace", ""), about.get("name", ""), at)
