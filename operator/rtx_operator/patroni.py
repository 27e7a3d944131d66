"""What Patroni keeps in ConfigMaps of its own, as far as the operator reads it. Frozen. Pure.

Each is JSON, or plain text, in annotations; their names are those of Patroni's documentation.
"""

import json
from dataclasses import dataclass
from typing import Any, Self

from rtx_operator.observation import Object

CONFIGURATION = "config"  # the annotation with Patroni's dynamic configuration
_QUORUM = "quorum"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The part of Patroni's dynamic configuration that depends on the number of servers and on the durability.

    With `quorum`, a commit waits for one standby, and only a server that has all commits may take over. `strict`:
    without a standby it waits for ever; otherwise it does not wait then.
    """

    ttl: int  # seconds after which a primary that is not heard of is replaced
    loop_wait: int  # seconds between two reports
    retry_timeout: int  # seconds after which a primary that does not reach the API server stops
    quorum: bool = False
    strict: bool = False

    @classmethod
    def of(cls, config_map: Object | None) -> Self | None:
        """As it stands in Patroni's ConfigMap; None while that is not there, or cannot be read."""
        annotations = (config_map or {}).get("metadata", {}).get("annotations") or {}
        try:
            found = json.loads(annotations.get(CONFIGURATION) or "")
            return cls(
                ttl=int(found["ttl"]),
                loop_wait=int(found["loop_wait"]),
                retry_timeout=int(found["retry_timeout"]),
                quorum=found.get("synchronous_mode") == _QUORUM,
                strict=found.get("synchronous_mode_strict") is True,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def fields(self) -> dict[str, Any]:
        """As Patroni reads it."""
        synchronous = {"synchronous_mode": _QUORUM, "synchronous_mode_strict": self.strict, "synchronous_node_count": 1}
        times = {"ttl": self.ttl, "loop_wait": self.loop_wait, "retry_timeout": self.retry_timeout}
        return {**times, **(synchronous if self.quorum else {})}


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
