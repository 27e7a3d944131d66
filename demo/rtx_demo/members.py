"""The servers of an engine's database, and which one is the primary, as Patroni labels their pods."""

import json
from dataclasses import dataclass

from .engine import Engine
from .errors import DemoError
from .kubectl import Object
from .waiting import eventually

ROLE_LABEL = "rtx-trading.com/role"
PRIMARY = "primary"
LABELS = "app.kubernetes.io/component=database"
FORMED_DEADLINE_SECONDS = 180.0


@dataclass(frozen=True)
class Member:
    """One server, by its pod."""

    pod: Object

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def node(self) -> str:
        return str(self.pod["spec"].get("nodeName", ""))

    @property
    def is_primary(self) -> bool:
        labels: dict[str, str] = self.pod["metadata"].get("labels", {})
        return labels.get(ROLE_LABEL) == PRIMARY

    @property
    def is_ready(self) -> bool:
        conditions = self.pod.get("status", {}).get("conditions", [])
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    @property
    def state(self) -> Object:
        """What the server last said of itself; empty before that."""
        annotations: dict[str, str] = self.pod["metadata"].get("annotations", {})
        found: Object = json.loads(annotations.get("status", "{}"))
        return found

    @property
    def is_streaming(self) -> bool:
        """Whether it is a standby that follows the primary."""
        return not self.is_primary and self.state.get("replication_state") == "streaming"


def members(engine: Engine) -> list[Member]:
    """By name, without those whose pods are being deleted."""
    found = engine.kubectl.list("pods", engine.namespace, LABELS)
    kept = [Member(pod) for pod in found if not pod["metadata"].get("deletionTimestamp")]
    return sorted(kept, key=lambda member: member.name)


def primary(engine: Engine) -> Member:
    """The primary. Raises DemoError where no server, or more than one, says that it is."""
    found = [member for member in members(engine) if member.is_primary]
    if len(found) != 1:
        names = ", ".join(member.name for member in found) or "none"
        raise DemoError(f"The database of {engine.name} must have one primary, and has {names}.")
    return found[0]


def standbys(engine: Engine) -> list[Member]:
    return [member for member in members(engine) if not member.is_primary]


def is_formed(engine: Engine, instances: int) -> bool:
    """Whether there are that many servers, all ready: one primary, which all others follow."""
    found = members(engine)
    leading = [member for member in found if member.is_primary]
    following = [member for member in found if member.is_streaming]
    all_ready = all(member.is_ready for member in found)
    return (len(leading), len(following), len(found), all_ready) == (1, instances - 1, instances, True)


def wait_until_formed(engine: Engine, instances: int, *, deadline: float = FORMED_DEADLINE_SECONDS) -> None:
    """Raises DemoError at the deadline."""
    what = f"a primary and {instances - 1} standbys that follow it"
    eventually(lambda: is_formed(engine, instances), what, deadline=deadline)
