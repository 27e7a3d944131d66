"""How the database gets from one server to three and back, live: what is to be done now, by what is observed. Pure.

No step is remembered; each follows from facts, so that an operator that was away goes on (ADR 0121).

From 1 to 3: Patroni guards the data (JOINING) → the first server leads and answers → the StatefulSet has three pods →
standbys are in sync → the durability of spec. A volume from earlier times cannot be elected meanwhile: it is no voter.
From 3 to 1: JOINING → the first server leads, by a switchover if it does not → the StatefulSet has one pod → ALONE.
"""

from dataclasses import dataclass
from typing import TypeVar

from rtx_operator.api.enums import Durability
from rtx_operator.members import DatabaseMember, DatabaseMembers
from rtx_operator.patroni import Configuration, Quorum

# With one server there is nobody to take over: a thousand engines must not write to the API server all the time.
ALONE = Configuration(ttl=60, loop_wait=20)
# Commits wait for the standbys that are there, and who is no standby in sync cannot take over.
JOINING = Configuration(ttl=20, loop_wait=5, quorum=True)
QUORUM = Configuration(ttl=20, loop_wait=5, quorum=True, strict=True)
ASYNCHRONOUS = Configuration(ttl=20, loop_wait=5)

_JOINED = {Durability.QUORUM: (QUORUM, 1), Durability.ASYNCHRONOUS: (ASYNCHRONOUS, 2)}  # with so many standbys in sync

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What is observed of the servers. `size` is that of the StatefulSet; None: there is none yet."""

    name: str  # of the StatefulSet
    size: int | None
    members: DatabaseMembers
    configuration: Configuration | None  # None: Patroni has none yet, or it was not read
    quorum: Quorum
    answers: bool  # the database answers the operator


@dataclass(frozen=True, slots=True)
class InstancesPlan:
    """What is to be done now. `waits` says why it is not as spec asks yet; empty: it is."""

    size: int  # of the StatefulSet
    configure: Configuration | None = None  # what Patroni's configuration is to be; None: as it is
    switch_to: DatabaseMember | None = None  # who is to lead
    waits: str = ""


def plan_instances(asked: int, durability: Durability, seen: DatabaseFacts) -> InstancesPlan:
    """The next step towards `asked` servers, 1 or 3."""
    size = asked if seen.size is None else seen.size
    if seen.configuration is None:
        return InstancesPlan(size)
    if size < asked:
        return _grown(asked, size, seen)
    if size > asked:
        return _shrunk(asked, size, seen)
    return _alone(seen) if asked == 1 else _joined(asked, durability, seen)


def _grown(asked: int, size: int, seen: DatabaseFacts) -> InstancesPlan:
    first, primary = f"{seen.name}-0", seen.members.primary
    towards = f"the database gets {asked} servers"
    if seen.configuration != JOINING:
        return InstancesPlan(size, JOINING, waits=f"{towards}: Patroni is told first")
    if primary is None or primary.name != first or not primary.is_ready or not seen.answers:
        return InstancesPlan(size, waits=f"{towards} once {first} leads and answers")
    if seen.quorum.leader != first:
        return InstancesPlan(size, waits=f"{towards} once only {first} may lead")
    return InstancesPlan(asked, waits=f"{towards}: standbys are made")


def _shrunk(asked: int, size: int, seen: DatabaseFacts) -> InstancesPlan:
    first, primary = f"{seen.name}-0", seen.members.primary
    towards = f"the database gets {asked} server"
    if seen.configuration != JOINING:
        return InstancesPlan(size, JOINING, waits=f"{towards}: Patroni is told first")
    if primary is None:
        return InstancesPlan(size, waits=f"{towards} once a server leads")
    if primary.name == first:
        return InstancesPlan(asked, waits=f"{towards}: the others end")
    candidate = seen.members.named(first)
    if candidate in seen.members.standbys and first in seen.quorum.voters:
        return InstancesPlan(size, switch_to=candidate, waits=f"{towards}: {first} takes over from {primary.name}")
    return InstancesPlan(size, waits=f"{towards} once {first} is in sync with {primary.name} and can take over")


def _alone(seen: DatabaseFacts) -> InstancesPlan:
    if others := [one.name for one in seen.members.all if one.ordinal]:
        return InstancesPlan(1, waits=f"waiting for {' and '.join(others)} to end")
    return InstancesPlan(1, _unless(ALONE, seen.configuration))


def _joined(asked: int, durability: Durability, seen: DatabaseFacts) -> InstancesPlan:
    configuration, needed = _JOINED[durability]
    if seen.configuration == configuration:
        return InstancesPlan(asked)
    standbys = {one.name for one in seen.members.standbys}
    if len(standbys) >= needed and standbys & seen.quorum.voters:
        return InstancesPlan(asked, configuration, waits=f"durability becomes {durability}")
    waits = f"durability becomes {durability} once {needed} of {asked - 1} standbys are in sync; now {len(standbys)}"
    return InstancesPlan(asked, _unless(JOINING, seen.configuration), waits=waits)


def _unless(wanted: T, there: T | None) -> T | None:
    return None if wanted == there else wanted
