"""What Patroni keeps in ConfigMaps of its own, as far as the operator reads and writes it. Frozen. Pure.

Each is JSON, or plain text, in annotations; their names are those of Patroni's documentation.
"""

import json
from dataclasses import dataclass
from typing import Self

from rtx_operator.observation import Object

CONFIG = "config"  # the annotation with Patroni's dynamic configuration
_QUORUM = "quorum"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The part of Patroni's dynamic configuration that depends on the number of servers and on the durability.

    With `quorum`, a commit waits for one standby, and only a server that has all commits may take over. `strict`:
    without a standby it waits for ever; otherwise it does not wait then.
    """

    ttl: int  # seconds after which a primary that is not heard of is replaced
    loop_wait: int  # seconds between two reports
    quorum: bool = False
    strict: bool = False

    @classmethod
    def of(cls, config_map: Object | None) -> Self | None:
        """As it stands in Patroni's ConfigMap; None while that is not there, or cannot be read."""
        found = _read(config_map)
        if found is None:
            return None
        return cls(
            ttl=int(found.get("ttl") or 0),
            loop_wait=int(found.get("loop_wait") or 0),
            quorum=found.get("synchronous_mode") == _QUORUM,
            strict=found.get("synchronous_mode_strict") is True,
        )

    def put_into(self, config_map: Object) -> str:
        """The annotation of Patroni's ConfigMap with this part, and all else as it is there."""
        return json.dumps(
            {
                **(_read(config_map) or {}),
                "ttl": self.ttl,
                "loop_wait": self.loop_wait,
                "synchronous_mode": _QUORUM if self.quorum else "off",
                "synchronous_mode_strict": self.strict,
            },
            separators=(",", ":"),
        )


@dataclass(frozen=True, slots=True)
class Quorum:
    """Who may take over with all commits: `leader` and the standbys in `voters`. An empty leader: anybody may."""

    leader: str = ""
    voters: frozenset[str] = frozenset()

    @classmethod
    def of(cls, config_map: Object | None) -> Self:
        annotations = (config_map or {}).get("metadata", {}).get("annotations") or {}
        voters = (annotations.get("sync_standby") or "").split(",")
        return cls(annotations.get("leader") or "", frozenset(filter(None, voters)))


def _read(config_map: Object | None) -> Object | None:
    annotations = (config_map or {}).get("metadata", {}).get("annotations") or {}
    try:
        found = json.loads(annotations.get(CONFIG) or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
