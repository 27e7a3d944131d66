"""How the database gets from one server to three and back, live: what is to be done now, by what is observed. Pure.

No step is remembered; each follows from facts, so that an operator that was away goes on (ADR 0121).

From 1 to 3: commits are guarded (JOINING) → the first server leads and answers → the StatefulSet has three pods →
standbys are in sync → the durability of spec. A volume from earlier times cannot be elected meanwhile: it is no voter.
From 3 to 1: JOINING → the first server leads, by a switchover if it does not → the StatefulSet has one pod → ALONE.
What Patroni's ConfigMaps say of the data outranks the StatefulSet, which others delete and scale, and which is made
anew over volumes that were retained.
"""

from dataclasses import dataclass, replace

from rtx_operator.api.enums import Durability
from rtx_operator.api.names import MAX_DATABASE_INSTANCES
from rtx_operator.members import DatabaseMember, DatabaseMembers
from rtx_operator.patroni import Configuration, Quorum

# Nobody takes over from a single server, and a fleet of them must not keep an API server busy.
ALONE = Configuration(ttl=60, loop_wait=20, retry_timeout=10)
# Commits wait for the standbys that are there, and who is no standby in sync cannot take over.
JOINING = Configuration(ttl=20, loop_wait=5, retry_timeout=5, quorum=True)
QUORUM = replace(JOINING, strict=True)
ASYNCHRONOUS = replace(JOINING, quorum=False)

# In force with so many standbys in sync.
_DURABILITIES = {Durability.QUORUM: (QUORUM, 1), Durability.ASYNCHRONOUS: (ASYNCHRONOUS, 2)}


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What is observed of the servers. `size` is that of the StatefulSet; None: there is none yet."""

    name: str  # of the StatefulSet
    size: int | None
    members: DatabaseMembers
    configuration: Configuration | None  # None: Patroni has none yet
    quorum: Quorum
    answers: bool  # the database answers the operator
    has_volumes: bool  # there may be data

    @property
    def first(self) -> str:
        """The server that begins a cluster, and stays when it shrinks."""
        return f"{self.name}-0"


@dataclass(frozen=True, slots=True)
class InstancesPlan:
    """What is to be done now. `waits` says why it is not as spec asks yet; empty: it is."""

    size: int  # of the StatefulSet
    configuration: Configuration  # of Patroni
    switch_to: DatabaseMember | None = None  # who is to lead
    waits: str = ""


def plan_instances(asked: int, durability: Durability, seen: DatabaseFacts) -> InstancesPlan:
    """The next step towards `asked` servers, 1 or 3."""
    size = servers_now(asked, seen)
    if seen.configuration is None:
        return InstancesPlan(size, ALONE if size == 1 else _DURABILITIES[durability][0])
    if size < asked:
        return _grown(asked, size, seen)
    if size > asked:
        return _shrunk(asked, size, seen)
    return _alone(seen, seen.configuration) if asked == 1 else _joined(asked, durability, seen, seen.configuration)


def servers_now(asked: int, seen: DatabaseFacts) -> int:
    """How many servers there are to be before the next step: not fewer than may have commits that were acknowledged.

    Nor more than one while nothing guards that one's: another volume is of earlier times, and could lead.
    """
    needed = _servers_with_data(seen) if seen.has_volumes else 0
    if needed == 1 and seen.configuration == ALONE:
        return 1
    return max(seen.size or 0, needed) or asked


def _servers_with_data(seen: DatabaseFacts) -> int:
    """As Patroni's ConfigMaps say. 0: they say nothing.

    While servers join or leave, the first one has every commit as long as it is the one that led last.
    """
    if seen.quorum.leader not in {"", seen.first}:
        return MAX_DATABASE_INSTANCES
    if seen.configuration is None:
        return 0
    is_joined = seen.configuration.strict or seen.configuration == ASYNCHRONOUS
    return MAX_DATABASE_INSTANCES if is_joined else 1


def _grown(asked: int, size: int, seen: DatabaseFacts) -> InstancesPlan:
    first, primary = seen.first, seen.members.primary
    as_it_is = InstancesPlan(size, JOINING)
    if primary is None or primary.name != first or not seen.answers:
        return replace(as_it_is, waits=f"the database gets {asked} servers once {first} leads and answers")
    if seen.configuration != JOINING or seen.quorum.leader != first:
        return replace(as_it_is, waits=f"the database gets {asked} servers once only {first} may lead")
    return InstancesPlan(asked, JOINING, waits=f"the database gets {asked} servers")


def _shrunk(asked: int, size: int, seen: DatabaseFacts) -> InstancesPlan:
    first, primary = seen.first, seen.members.primary
    as_it_is, towards = InstancesPlan(size, JOINING), f"the database gets {asked} server"
    if seen.configuration != JOINING or primary is None:
        return replace(as_it_is, waits=f"{towards} once its commits are guarded, and a server leads")
    if primary.name == first:
        return InstancesPlan(asked, JOINING, waits=f"{towards}: the others end")
    candidate = seen.members.named(first)
    if candidate in seen.members.standbys and first in seen.quorum.voters:
        return replace(as_it_is, switch_to=candidate, waits=f"{towards}: {first} takes over from {primary.name}")
    return replace(as_it_is, waits=f"{towards} once {first} is in sync with {primary.name} and can take over")


def _alone(seen: DatabaseFacts, in_force: Configuration) -> InstancesPlan:
    if others := [one.name for one in seen.members.all if one.ordinal]:
        return InstancesPlan(1, in_force, waits=f"waiting for {' and '.join(others)} to end")
    return InstancesPlan(1, ALONE)


def _joined(asked: int, durability: Durability, seen: DatabaseFacts, in_force: Configuration) -> InstancesPlan:
    configuration, needed = _DURABILITIES[durability]
    if in_force == configuration:
        return InstancesPlan(asked, configuration)
    standbys = {one.name for one in seen.members.standbys}
    if len(standbys) >= needed and (not in_force.quorum or standbys & seen.quorum.voters):
        return InstancesPlan(asked, configuration, waits=f"durability becomes {durability}")
    waits = f"durability becomes {durability} once {needed} of {asked - 1} standbys are in sync; now {len(standbys)}"
    return InstancesPlan(asked, JOINING, waits=waits)
