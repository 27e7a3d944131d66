"""The PostgreSQL servers of one engine, as Patroni reports them on their pods. Frozen. Pure.

Patroni writes its report as JSON into a pod's annotation, and the role into a label, by which Services select.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from rtx_operator.api.enums import MemberRole
from rtx_operator.api.names import Label
from rtx_operator.observation import Object, is_ready, revision_of

REPORT = "status"  # the annotation; Patroni's own name for it
# Fields of a report that change with each write to the database: alone they are no news.
POSITIONS = ("xlog_location", "receive_lsn", "replay_lsn")
# How far a standby may be behind. Members report at different moments, up to 5 s apart: at 4,000 orders/s, of 1 kB each
# (docs/benchmarks.md), that is 20 MB.
MAX_LAG_BYTES = 64 * 2**20

_ROLES = {role.value: role for role in MemberRole}


@dataclass(frozen=True, slots=True)
class DatabaseMember:
    """One server. What it has not reported is None, or empty."""

    name: str
    uid: str
    revision: str  # of its pod
    role: MemberRole | None
    state: str = ""  # Patroni's word: running, starting, creating replica, …
    is_streaming: bool = False  # it receives the primary's log
    timeline: int | None = None
    position: int | None = None  # in the log, in bytes
    is_ready: bool = False
    is_running: bool = False  # its container is; what it reported last is no earlier news
    is_ending: bool = False

    @property
    def ordinal(self) -> int:
        """The number at the end of its name."""
        return int(self.name.rpartition("-")[2])

    @property
    def leads(self) -> bool:
        """Whether it takes writes. The label of one that is not ready may be of earlier times."""
        return self.role is MemberRole.PRIMARY and self.is_ready and not self.is_ending


@dataclass(frozen=True, slots=True)
class DatabaseMembers:
    """The servers that are there, by their ordinals. One whose node is lost is there, and not ready."""

    all: tuple[DatabaseMember, ...] = ()

    @property
    def primary(self) -> DatabaseMember | None:
        """The server that leads: of two that say so, that of the later timeline, as the other's node may be lost.

        None while none does, or two do in one timeline.
        """
        leading = sorted((one for one in self.all if one.leads), key=lambda one: one.timeline or 0)
        is_clear = len(leading) == 1 or (len(leading) > 1 and leading[-1].timeline != leading[-2].timeline)
        return leading[-1] if is_clear else None

    @property
    def in_sync(self) -> tuple[DatabaseMember, ...]:
        """The primary, and the standbys that could take over without a loss worth mentioning."""
        primary = self.primary
        if primary is None:
            return ()
        return tuple(one for one in self.all if one is primary or follows(one, primary))

    @property
    def standbys(self) -> tuple[DatabaseMember, ...]:
        """Those in sync that do not lead."""
        return tuple(one for one in self.in_sync if one is not self.primary)

    def named(self, name: str) -> DatabaseMember | None:
        return next((one for one in self.all if one.name == name), None)


def follows(member: DatabaseMember, primary: DatabaseMember) -> bool:
    """Whether the standby streams from the primary, in its timeline, close behind it, and its node answers."""
    if member.role is not MemberRole.REPLICA or not member.is_streaming or not member.is_ready or member.is_ending:
        return False
    lag = (primary.position or 0) - (member.position or 0)
    return member.timeline == primary.timeline and lag <= MAX_LAG_BYTES


def members(pods: Iterable[Object]) -> DatabaseMembers:
    """The members among these pods of the database: those that a StatefulSet has numbered. Others can copy labels."""
    numbered = (pod for pod in pods if pod["metadata"]["name"].rpartition("-")[2].isdecimal())
    return DatabaseMembers(tuple(sorted(map(_member, numbered), key=lambda one: one.ordinal)))


def report_of(pod: Object) -> Object:
    """Patroni's report about itself; empty while there is none, or none that can be read."""
    try:
        report = json.loads((pod["metadata"].get("annotations") or {}).get(REPORT) or "{}")
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _member(pod: Object) -> DatabaseMember:
    meta, report = pod["metadata"], report_of(pod)
    labels = meta.get("labels") or {}
    return DatabaseMember(
        name=meta["name"],
        uid=meta.get("uid", ""),
        revision=revision_of(pod),
        role=_ROLES.get(labels.get(Label.ROLE.value, "")),
        state=str(report.get("state", "")),
        is_streaming=report.get("replication_state") == "streaming",
        timeline=_number(report.get("timeline")),
        position=_number(report.get("xlog_location")),
        is_ready=is_ready(pod),
        is_running=is_ready(pod) or _is_running(pod),
        is_ending=bool(meta.get("deletionTimestamp")),
    )


def _is_running(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return bool(statuses) and all((one.get("state") or {}).get("running") is not None for one in statuses)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
