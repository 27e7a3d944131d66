"""One NetworkPolicy per component. Its pods connect to what they need, accept who needs them, and nothing else."""

from typing import Any

from rtx_operator.api.enums import BackupType, Component, PeerPort
from rtx_operator.api.names import (
    HTTP_PORT,
    METRICS_PORT,
    OPERATOR,
    PATRONI_PORT,
    PGBACKREST_PORT,
    POSTGRES_PORT,
    REDIS_PORT,
    SENTINEL_PORT,
    Label,
)
from rtx_operator.api.spec import Dns, EgressRule, Peer
from rtx_operator.desired.backup.pods import backs_up, store_of, store_port
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import plain
from rtx_operator.desired.render import Object, render

_NAMESPACE = "kubernetes.io/metadata.name"  # the API server sets this label on every namespace
_PORTS = {PeerPort.HTTP: HTTP_PORT, PeerPort.METRICS: METRICS_PORT}


def network_objects(inputs: BuildInput) -> list[Object]:
    """The NetworkPolicies of all components; none when spec switches them off."""
    if not inputs.spec.network_policy.enabled:
        return []
    return [
        _engine_policy(inputs),
        _migration_policy(inputs),
        _database_policy(inputs),
        _cache_policy(inputs),
        _maintenance_policy(inputs),
        *([_backup_policy(inputs), _restore_policy(inputs)] if backs_up(inputs) else []),
        *([_repository_policy(inputs)] if store_of(inputs) is BackupType.VOLUME else []),
    ]


def _engine_policy(inputs: BuildInput) -> Object:
    """In: engine pods, the operator, and the peers in the spec. Out: database, cache, engine pods, DNS, spec.egress."""
    policy = inputs.spec.network_policy
    return _policy(
        "network/engine",
        inputs,
        Component.ENGINE,
        ingress_namespace=_namespace(policy.ingress_namespace) if policy.ingress_namespace else None,
        monitoring_namespace=_namespace(policy.monitoring_namespace) if policy.monitoring_namespace else None,
        extra_peers=[_peer(peer) for peer in policy.extra_peers],
        ip_blocks=[{"ipBlock": plain(block)} for block in policy.ip_blocks],
        dns=_dns(policy.dns),
        egress=[_egress(rule) for rule in policy.egress],
    )


def _migration_policy(inputs: BuildInput) -> Object:
    """In: nothing. Out: database, cache, DNS."""
    return _policy("network/migration", inputs, Component.MIGRATION, dns=_dns(inputs.spec.network_policy.dns))


def _database_policy(inputs: BuildInput) -> Object:
    """In: engine pods, migrations, the operator, backups, the other members. Out: those, the repository, DNS, and the
    API server. With a bucket for the repository, any host by its port.
    """
    dns = _dns(inputs.spec.network_policy.dns)
    return _policy("network/database", inputs, Component.DATABASE, backs_up=backs_up(inputs), dns=dns)


def _backup_policy(inputs: BuildInput) -> Object:
    """In: nothing. Out: database, DNS, and any host by the port of a bucket."""
    return _policy("network/backup", inputs, Component.BACKUP, dns=_dns(inputs.spec.network_policy.dns))


def _restore_policy(inputs: BuildInput) -> Object:
    """In: nothing. Out: the repository, DNS, and any host by the port of a bucket."""
    return _policy("network/restore", inputs, Component.RESTORE, dns=_dns(inputs.spec.network_policy.dns))


def _repository_policy(inputs: BuildInput) -> Object:
    """In: the database, restores. Out: nothing."""
    return _policy("network/repository", inputs, Component.REPOSITORY)


def _cache_policy(inputs: BuildInput) -> Object:
    """In: engine pods, migrations, the cache's pods. Out: the cache's pods, DNS."""
    return _policy("network/cache", inputs, Component.CACHE, dns=_dns(inputs.spec.network_policy.dns))


def _maintenance_policy(inputs: BuildInput) -> Object:
    """In: nothing. Out: nothing."""
    return _policy("network/maintenance", inputs, Component.MAINTENANCE)


def _policy(template: str, inputs: BuildInput, component: Component, **more: Any) -> Object:
    names = inputs.names
    return render(
        template,
        name=names.network_policy(component),
        namespace=inputs.namespace,
        labels=names.labels(component),
        owners=inputs.owners,
        engine=names.selector(Component.ENGINE),
        migration=names.selector(Component.MIGRATION),
        database=names.selector(Component.DATABASE),
        cache=names.selector(Component.CACHE),
        maintenance=names.selector(Component.MAINTENANCE),
        backup=names.selector(Component.BACKUP),
        repository=names.selector(Component.REPOSITORY),
        restore=names.selector(Component.RESTORE),
        operator_namespace=_namespace(inputs.operator_namespace),
        operator={Label.APP.value: OPERATOR},
        http_port=HTTP_PORT,
        metrics_port=METRICS_PORT,
        postgres_port=POSTGRES_PORT,
        patroni_port=PATRONI_PORT,
        pgbackrest_port=PGBACKREST_PORT,
        store_port=store_port(inputs),
        redis_port=REDIS_PORT,
        sentinel_port=SENTINEL_PORT,
        **more,
    )


def _namespace(name: str) -> dict[str, str]:
    return {_NAMESPACE: name}


def _peer(peer: Peer) -> Object:
    pods: Object = {"podSelector": {"matchLabels": dict(peer.pod_labels)}}
    if peer.namespace_labels:  # without a namespaceSelector, Kubernetes takes the policy's own namespace
        pods["namespaceSelector"] = {"matchLabels": dict(peer.namespace_labels)}
    return {"pods": pods, "ports": [{"port": _PORTS[port], "protocol": "TCP"} for port in peer.ports]}


def _dns(dns: Dns) -> Object:
    """The egress rule to the DNS servers, by UDP and TCP."""
    ports = [{"port": port, "protocol": protocol} for port in dns.ports for protocol in ("UDP", "TCP")]
    return _rule([plain(peer) for peer in dns.to], ports)


def _egress(rule: EgressRule) -> Object:
    return _rule([plain(peer) for peer in rule.to], [plain(port) for port in rule.ports])


def _rule(to: list[Object], ports: list[Object]) -> Object:
    """An egress rule. Kubernetes takes a missing list for everything, and an empty one too."""
    return {**({"to": to} if to else {}), **({"ports": ports} if ports else {})}
