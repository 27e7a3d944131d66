"""What somebody wrote, as the API server's audit log has it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Write:
    """A request that was meant to change something, whether or not it did."""

    verb: str
    resource: str
    namespace: str  # empty for what has none
    name: str
    at: str  # RFC 3339, UTC


def writes(log: Path, *, user: str, since: str, until: str) -> Iterator[Write]:
    """The writes of `user` between two RFC 3339 times."""
    with log.open() as lines:
        for line in lines:
            if user not in line:  # most lines are others', and need no parsing
                continue
            event = json.loads(line)
            at = event["requestReceivedTimestamp"]
            if event["user"]["username"] == user and event["verb"] in WRITES and since <= at <= until:
                about = event.get("objectRef", {})
                resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
                yield Write(event["verb"], resource, about.get("namespace", ""), about.get("name", ""), at)
