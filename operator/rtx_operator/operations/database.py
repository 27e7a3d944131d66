"""The switchover of the database, which a maintenance and a change of spec.database.instances need. Pure."""

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Names
from rtx_operator.members import DatabaseMember, DatabaseMembers, members
from rtx_operator.observation import Observation
from rtx_operator.operations.effects import SwitchOver
from rtx_operator.patroni import Quorum


def database_members(seen: Observation, names: Names) -> DatabaseMembers:
    """The servers of the database that may run a process."""
    return members(seen.alive(names.selector(Component.DATABASE)))


def can_take_over(seen: Observation, names: Names) -> tuple[DatabaseMember, ...]:
    """The standbys that may lead without a loss, the furthest first: those in sync, and in the quorum."""
    quorum = Quorum.of(seen.child("ConfigMap", names.database_quorum))
    standbys = database_members(seen, names).standbys
    able = [one for one in standbys if not quorum.leader or one.name in quorum.voters]
    return tuple(sorted(able, key=lambda one: -(one.position or 0)))


def switch_over(seen: Observation, names: Names, candidate: DatabaseMember) -> tuple[SwitchOver, ...]:
    """The effect by which `candidate` leads; none while nobody does."""
    primary = database_members(seen, names).primary
    return (SwitchOver(primary.name, candidate.name, names.database_switchover),) if primary else ()
