"""The desired objects of a TradingEngine: a frozen BuildInput in, plain objects out.

Law: pure. A builder reads no cluster, no clock and no randomness, changes none of its input, and returns plain data.
A template has the structure of an object; Python computes its values.

One folder per component (engine/, database/, cache/, network/), and likewise in templates/.
"""

from rtx_operator.desired.cache.server import cache_disruption_budget, cache_services
from rtx_operator.desired.credentials import fingerprints, lost, secrets, unreadable
from rtx_operator.desired.credentials import values as secret_values
from rtx_operator.desired.database.instances import InstancesPlan
from rtx_operator.desired.database.patroni import cluster_state, member_rights
from rtx_operator.desired.database.server import database_disruption_budget, database_services
from rtx_operator.desired.engine.account import service_account
from rtx_operator.desired.engine.colour import colour_children, controller_revision, rendered
from rtx_operator.desired.engine.migration import migration_job
from rtx_operator.desired.engine.running import running
from rtx_operator.desired.engine.traffic import traffic_children
from rtx_operator.desired.inputs import BuildInput, Fingerprints
from rtx_operator.desired.network.policies import network_objects
from rtx_operator.desired.record import Record, recorded
from rtx_operator.desired.render import Object
from rtx_operator.desired.revision import RevisionSpec, revision_spec
from rtx_operator.desired.servers import asked_of_spec
from rtx_operator.desired.wanted import refuse_unknown_server, wanted_revision

__all__ = [
    "BuildInput",
    "Fingerprints",
    "Object",
    "Record",
    "RevisionSpec",
    "asked_of_spec",
    "base_objects",
    "colour_children",
    "controller_revision",
    "fingerprints",
    "lost",
    "migration_job",
    "recorded",
    "refuse_unknown_server",
    "rendered",
    "revision_spec",
    "running",
    "secret_values",
    "secrets",
    "traffic_children",
    "unreadable",
    "wanted_revision",
]


def base_objects(inputs: BuildInput, instances: InstancesPlan) -> list[Object]:
    """The objects that exist before any pod: NetworkPolicies, so that none runs without them, Services, accounts,
    and what Patroni works by.

    Database and cache themselves are in servers.py: they are made from what was recorded of them.
    """
    account = service_account(inputs)
    return [
        *network_objects(inputs),
        *([account] if account else []),
        *member_rights(inputs),
        *cluster_state(inputs, instances.configuration),
        *([database_disruption_budget(inputs)] if instances.size > 1 else []),
        *database_services(inputs, instances.size),
        *cache_services(inputs),
        *cache_disruption_budget(inputs),
    ]
