"""The servers of the database: what is asked of them outside of a maintenance, and whether orders can be written."""

from rtx_operator.api.enums import Component, Durability, Reason
from rtx_operator.api.names import Names
from rtx_operator.api.status import DatabaseCluster, DatabaseServer
from rtx_operator.decision.context import DecisionContext
from rtx_operator.desired.database.instances import QUORUM
from rtx_operator.desired.state import Workload
from rtx_operator.diagnosis import diagnose, lost_pod
from rtx_operator.members import DatabaseMember, DatabaseMembers
from rtx_operator.observation import Object, replicas
from rtx_operator.operations.arbiter import moving
from rtx_operator.operations.database import database_members, switch_over
from rtx_operator.operations.effects import Evict, SwitchOver
from rtx_operator.patroni import Configuration
from rtx_operator.results import Failure, Unmet, Waiting


def database_effects(context: DecisionContext) -> tuple[SwitchOver, ...]:
    """The switchover that fewer servers need; none while an operation moves."""
    candidate = context.desired.instances.switch_to
    if candidate is None or moving(context.state) is not None:
        return ()
    return switch_over(context.seen, Names(context.engine.name), candidate)


def strays_to_replace(context: DecisionContext) -> tuple[Evict, ...]:
    """Pods of database and cache that serve nobody, and are not as they are to be: another one is made."""
    maintenance, pods = context.state.maintenance_under_way, tuple[Object, ...]()
    for server in context.desired.servers.values():
        replaces = maintenance and maintenance.component is server.component and maintenance.phase.replaces_pod
        pods += () if replaces else server.strays
    return (Evict(pods),) if pods else ()


def database_waits(context: DecisionContext) -> Waiting | None:
    """Why the database has not as many servers as spec asks for, or not its durability."""
    plan = context.desired.instances
    return Waiting(plan.waits, Reason.DATABASE_SCALING) if plan.waits else None


def server_ready(context: DecisionContext, workload: Workload, waiting: Reason, what: str) -> Unmet | None:
    """Every pod of the server is ready."""
    seen = context.seen
    size, ready = replicas(seen.child(workload.kind, workload.name))
    if size and ready >= size:
        return None
    return _failure(context, workload) or Waiting(
        f"waiting for {what} (StatefulSet {workload.name}): {ready} of {size or 1} pods ready", waiting
    )


def database_ready(context: DecisionContext) -> Unmet | None:
    """Orders can be written: a server leads, and with durability Quorum a standby confirms what it commits.

    Of a single server, that it is ready; whether it serves shows when it is asked.
    """
    workload, members = context.desired.database, _members(context)
    if context.desired.servers[Component.DATABASE].size == 1:
        return server_ready(context, workload, Reason.DATABASE_STARTING, "the database")
    if members.primary is None:
        return _nobody_leads(context, members)
    if _is_strict(context) and not _confirming(context, members):
        late = "; ".join(_described(one) for one in members.all if one is not members.primary) or "there is none"
        failure = _failure(context, workload)
        cause = f"{failure.message}; " if failure else ""
        return Waiting(
            f"orders get 503: with durability Quorum they wait for a standby, and none confirms them ({late}). It ends "
            f"when one streams from {members.primary.name}; {cause}or with durability Asynchronous",
            Reason.STANDBY_MISSING,
        )
    return None


def database_durable(context: DecisionContext) -> Unmet | None:
    """Before the first order, the durability of spec is in force."""
    plan = context.desired.instances
    if context.is_installed or context.desired.servers[Component.DATABASE].size == 1 or not plan.waits:
        return None
    return Waiting(plan.waits, Reason.DATABASE_STARTING)


def database_redundant(context: DecisionContext) -> Unmet | None:
    """The loss of any one server would hold up no order for long: all are in sync. Not asked of a single one."""
    server, members = context.desired.servers[Component.DATABASE], _members(context)
    if server.size == 1:
        return None
    in_sync = {one.name for one in members.in_sync}
    late = [name for name in _names(server.workload.name, server.size) if name not in in_sync]
    if not late:
        return None
    if members.primary is None:
        return _nobody_leads(context, members)
    there = {one.name: _described(one) for one in members.all}
    causes = ", ".join(there.get(name, f"{name} is missing") for name in late)
    failure = _failure(context, server.workload)
    cause = f". {failure.message}" if failure else ""
    return Waiting(
        f"{len(in_sync)} of {server.size} database servers are in sync with {members.primary.name}: {causes}{cause}",
        Reason.STANDBY_MISSING,
    )


def database_cluster(context: DecisionContext) -> DatabaseCluster | None:
    """What status says of the servers; None while none has reported."""
    server, members, primary = context.desired.servers[Component.DATABASE], _members(context), _members(context).primary
    if not any(one.role for one in members.all):
        return None
    return DatabaseCluster(
        primary=primary.name if primary else None,
        in_sync=f"{len(members.in_sync)}/{server.size}",
        durability=_durability_in_force(context),
        servers=[
            DatabaseServer(name=one.name, role=one.role, in_sync=one in members.in_sync, timeline=one.timeline)
            for one in members.all
        ],
    )


def _members(context: DecisionContext) -> DatabaseMembers:
    return database_members(context.seen, Names(context.engine.name))


def _names(workload: str, size: int) -> list[str]:
    return [f"{workload}-{ordinal}" for ordinal in range(size)]


def _configuration(context: DecisionContext) -> Configuration | None:
    return Configuration.of(context.seen.child("ConfigMap", Names(context.engine.name).database_configuration))


def _is_strict(context: DecisionContext) -> bool:
    configuration = _configuration(context)
    return configuration is not None and configuration.quorum and configuration.strict


def _durability_in_force(context: DecisionContext) -> Durability | None:
    """None for one server, and while standbys join."""
    configuration = _configuration(context)
    if configuration is None or context.desired.servers[Component.DATABASE].size == 1:
        return None
    if configuration.quorum:
        return Durability.QUORUM if configuration == QUORUM else None
    return Durability.ASYNCHRONOUS


def _confirming(context: DecisionContext, members: DatabaseMembers) -> int:
    """How many standbys confirm commits: as the primary knows them, else as they report themselves."""
    report = context.seen.database
    if report is not None and not report.error and report.standbys is not None:
        return report.standbys
    return len(members.standbys)


def _nobody_leads(context: DecisionContext, members: DatabaseMembers) -> Unmet:
    reports = ", ".join(map(_described, members.all)) or "there are no pods"
    waiting = Waiting(f"no server of the database leads: {reports}", Reason.NO_PRIMARY)
    if any(one.is_ready for one in members.all):
        return waiting
    return _failure(context, context.desired.database) or waiting


def _described(member: DatabaseMember) -> str:
    """A server and what it is doing, without a number that changes all the time."""
    if member.is_ending:
        return f"{member.name} is ending"
    if member.is_streaming and member.is_ready:
        return f"{member.name} streams"
    state = member.state or "starting"
    return f"{member.name} is {state}" if member.is_ready else f"{member.name} is not ready ({state})"


def _failure(context: DecisionContext, workload: Workload) -> Failure | None:
    """Why a pod of the server is not there, as far as Kubernetes says."""
    return lost_pod(context.seen, workload, context.now) or diagnose(context.seen, workload)
