"""What Patroni works by: its dynamic configuration, and the rights of its pods at the API server (ADR 0118)."""

import json
from typing import Any

from rtx_operator.api.enums import Component, DeletionPolicy
from rtx_operator.api.names import KEPT, MAX_DATABASE_INSTANCES, Label
from rtx_operator.api.spec.parameters import Parameters
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render
from rtx_operator.patroni import CONFIGURATION, Configuration

# All members must have these alike, so Patroni takes them from nowhere else.
PARAMETERS = {
    # What the API server allows engine pods of both colours, and one for the fence each; the operator, migrations.
    "max_connections": 150,
    "max_replication_slots": 10,
    "max_wal_senders": 10,
    # Commit timestamps prove that no colour executed after the fence had moved.
    "track_commit_timestamp": "on",
    "wal_level": "replica",
}


def dynamic_configuration(configuration: Configuration, parameters: Parameters) -> dict[str, Any]:
    """What Patroni follows while it runs."""
    return {
        **configuration.fields(),
        "primary_start_timeout": 15,
        "maximum_lag_on_failover": 2**20,  # bytes
        # While the API server is away, a primary goes on as long as it reaches every standby.
        "failsafe_mode": True,
        "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": {**parameters.live, **PARAMETERS}},
    }


def cluster_state(inputs: BuildInput, configuration: Configuration) -> list[Object]:
    """The ConfigMaps in which Patroni reads its dynamic configuration, and keeps which data the cluster is about and
    who may take over. Only these two have the engine's labels, by which the operator watches: they change rarely.

    They live as long as the data: its volume claims become their owners; under Delete the TradingEngine is one, too.
    """
    dynamic = dynamic_configuration(configuration, inputs.spec.database.parameters)
    text = json.dumps(dynamic, separators=(",", ":"), sort_keys=True)
    return [
        _state(inputs, inputs.names.database_configuration, {CONFIGURATION: text}),
        _state(inputs, inputs.names.database_quorum, {}),
    ]


def _state(inputs: BuildInput, name: str, annotations: dict[str, str]) -> Object:
    is_kept = inputs.spec.deletion_policy is DeletionPolicy.RETAIN
    return render(
        "database/cluster-configmap",
        name=name,
        namespace=inputs.namespace,
        labels={**inputs.names.labels(Component.DATABASE), **cluster_labels(inputs)},
        annotations={**(KEPT if is_kept else {}), **annotations},
        owners=[] if is_kept else inputs.owners,
    )


def cluster_labels(inputs: BuildInput) -> dict[str, str]:
    """The label by which Patroni finds its pods and ConfigMaps. No watch of the operator selects by it: the lock is
    renewed every few seconds.
    """
    return {Label.DATABASE_CLUSTER.value: inputs.names.postgres}


def member_rights(inputs: BuildInput) -> list[Object]:
    """The account of database pods, unless spec names one, and its rights."""
    names = inputs.names
    named = inputs.spec.database.service_account.name
    meta = {
        "name": names.database_account,
        "namespace": inputs.namespace,
        "labels": names.labels(Component.DATABASE),
        "owners": inputs.owners,
    }
    pods = [f"{names.postgres}-{ordinal}" for ordinal in range(MAX_DATABASE_INSTANCES)]
    state = [names.database_configuration, names.database_leader, names.database_quorum, names.database_switchover]
    role = render("database/role", **meta, config_maps=state, pods=pods, claims=[f"data-{pod}" for pod in pods])
    binding = render("database/rolebinding", **meta, account=named or names.database_account)
    return [role, binding] if named else [render("database/serviceaccount", **meta), role, binding]
