"""What is asked of the database's servers outside of a maintenance: their number, who leads, and their durability."""

from collections.abc import Iterator

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Label, Names
from rtx_operator.decision.context import DecisionContext
from rtx_operator.desired.database.instances import InstancesPlan
from rtx_operator.observation import Object
from rtx_operator.operations.arbiter import moving
from rtx_operator.operations.database import switch_over
from rtx_operator.operations.effects import Configure, Delete, Effect, EffectName
from rtx_operator.patroni import CONFIG
from rtx_operator.results import Waiting


def database_effects(context: DecisionContext) -> tuple[Effect, ...]:
    """The next step towards as many servers as spec asks for; none while a maintenance replaces pods."""
    return tuple(_effects(context))


def strays_to_replace(context: DecisionContext) -> tuple[Delete, ...]:
    """Pods of database and cache that serve nobody, and are not as they are to be: another one is made."""
    maintenance, pods = context.state.maintenance_under_way, list[Object]()
    for server in context.desired.servers.values():
        replaces = maintenance and maintenance.component is server.component and maintenance.phase.replaces_pod
        pods += () if replaces else server.strays
    return (Delete(EffectName.REPLACE, tuple(pods), "it is made anew"),) if pods else ()


def database_waits(context: DecisionContext) -> Waiting | None:
    """Why the database has not as many servers as spec asks for, or not its durability."""
    plan = context.desired.instances
    return Waiting(plan.waits) if plan.waits else None


def _effects(context: DecisionContext) -> Iterator[Effect]:
    names, maintenance = Names(context.engine.name), context.state.maintenance_under_way
    plan = InstancesPlan(0) if maintenance and maintenance.phase.replaces_pod else context.desired.instances
    labels = names.selector(Component.DATABASE)
    for name in (names.database_configuration, names.database_quorum):
        config_map = context.seen.child("ConfigMap", name)
        if config_map is None:
            continue
        is_asked = plan.configure is not None and name == names.database_configuration
        annotations = {CONFIG: plan.configure.put_into(config_map)} if plan.configure and is_asked else {}
        if annotations or Label.ENGINE.value not in (config_map["metadata"].get("labels") or {}):
            yield Configure(config_map, labels, annotations)
    if plan.switch_to and moving(context.state) is None:
        yield from switch_over(context.seen, names, plan.switch_to)
