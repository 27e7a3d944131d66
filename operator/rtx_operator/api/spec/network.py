"""spec.networkPolicy: who may connect to whom."""

from typing import Literal

from pydantic import ConfigDict, Field

from rtx_operator.api.enums import PeerPort
from rtx_operator.api.schema import ApiModel, Cidr, LabelKey, Labels, NamespaceName, ObjectName, WholeModel, rule, rules

_MAX_PORT = 65_535


class Peer(WholeModel):
    """Pods that may connect to the engine, besides those that the engine itself needs."""

    name: ObjectName = Field(description="Name of this entry, unique in the list.")
    namespace_labels: Labels = Field(default={}, description="Labels of the pods' namespace. Unset: the engine's own.")
    pod_labels: Labels = Field(default={}, description="Labels of the pods. Unset: every pod there.")
    ports: list[PeerPort] = Field(
        default=[PeerPort.HTTP],
        min_length=1,
        max_length=2,
        description="Ports of the engine that they may reach: http (7999), metrics (9090).",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class IPBlock(WholeModel):
    """A range of IP addresses."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!isCIDR(self.cidr) || self.except.all(one, !isCIDR(one) || cidr(self.cidr).containsCIDR(one))",
                "except must lie inside cidr: correct the range, or remove it",
                ".except",
            )
        )
    )

    cidr: Cidr = Field(description="The range, for example 203.0.113.0/24.")
    except_: list[Cidr] = Field(
        default=[],
        alias="except",
        max_length=16,
        description="Ranges inside cidr that are left out. Unset: none.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class LabelSelectorRequirement(WholeModel):
    """A condition on a label."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(self.operator in ['In', 'NotIn']) == (size(self.values) > 0)",
                "values must be given with operator In and NotIn, and only with them",
                ".values",
            )
        )
    )

    key: LabelKey = Field(description="Key of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="In and NotIn compare with values; Exists and DoesNotExist look at the key only."
    )
    values: list[str] = Field(
        default=[],
        max_length=16,
        description="Values of the label, for In and NotIn.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class LabelSelector(WholeModel):
    """Selects by labels; without any it selects all."""

    match_labels: Labels = Field(default={}, description="Labels that must be there. Unset: any.")
    match_expressions: list[LabelSelectorRequirement] = Field(
        default=[],
        max_length=8,
        description="Conditions on labels that must hold. Unset: none.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class NetworkPolicyPeer(WholeModel):
    """The other side of a connection: pods, or a range of addresses, as in a NetworkPolicy."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
                "must have either ipBlock, or podSelector and namespaceSelector or one of them",
            )
        )
    )

    ip_block: IPBlock | None = Field(default=None, description="A range of addresses.")
    namespace_selector: LabelSelector | None = Field(
        default=None, description="Selects namespaces by their labels. Unset: the engine's own namespace."
    )
    pod_selector: LabelSelector | None = Field(
        default=None, description="Selects pods in those namespaces by their labels. Unset: every pod."
    )


class NetworkPolicyPort(WholeModel):
    """A port, or a range of ports, as in a NetworkPolicy."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.endPort) || self.endPort >= self.port",
                "endPort must not be below port: exchange the two",
                ".endPort",
            )
        )
    )

    protocol: Literal["TCP", "UDP", "SCTP"] = Field(default="TCP", description="Protocol of the connections.")
    port: int = Field(ge=1, le=_MAX_PORT, description="Number of the port.")
    end_port: int | None = Field(
        default=None, ge=1, le=_MAX_PORT, description="Last port of a range that begins with port. Unset: that port."
    )


class EgressRule(WholeModel):
    """Connections that the engine's pods may make."""

    to: list[NetworkPolicyPeer] = Field(
        default=[],
        max_length=16,
        description="Where to. Unset or empty: any address.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    ports: list[NetworkPolicyPort] = Field(
        default=[],
        max_length=16,
        description="Ports there. Unset or empty: every port.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class Dns(ApiModel):
    """The cluster's DNS servers, which engine and migration pods may ask."""

    to: list[NetworkPolicyPeer] = Field(
        default=[
            NetworkPolicyPeer(
                namespace_selector=LabelSelector(match_labels={"kubernetes.io/metadata.name": "kube-system"}),
                pod_selector=LabelSelector(match_labels={"k8s-app": "kube-dns"}),
            )
        ],
        max_length=8,
        description="Where the servers are. NodeLocal DNSCache: an ipBlock with cidr 169.254.20.10/32. OpenShift: the "
        "namespace openshift-dns. Empty: any address.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    ports: list[int] = Field(
        default=[53],
        min_length=1,
        max_length=4,
        description="Their ports, for UDP and TCP. OpenShift: 5353, the port of its DNS pods.",
        json_schema_extra=rules(
            rule(f"self.all(one, one >= 1 && one <= {_MAX_PORT})", f"must be ports from 1 to {_MAX_PORT}"),
            **{"x-kubernetes-list-type": "set"},
        ),
    )


class NetworkPolicy(ApiModel):
    """Who may connect to whom, besides the engine's own parts and the operator. An edit takes effect at once."""

    enabled: bool = Field(
        default=True,
        description="Whether the operator makes NetworkPolicies. False: it deletes its own, and every pod that the "
        "namespace's policies admit can connect to engine, database and cache.",
    )
    ingress_namespace: NamespaceName | None = Field(
        default=None,
        description="Namespace of the ingress controller; its pods may reach the engine's port 7999. Unset: none.",
    )
    monitoring_namespace: NamespaceName | None = Field(
        default=None, description="Namespace of Prometheus; its pods may reach the engine's port 9090. Unset: none."
    )
    extra_peers: list[Peer] = Field(
        default=[],
        max_length=20,
        description="Other pods that may connect. Unset: none.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    ip_blocks: list[IPBlock] = Field(
        default=[],
        max_length=16,
        description="Ranges of addresses that may reach the engine's port 7999, for example of clients behind a load "
        "balancer. Unset: none.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    dns: Dns = Dns()
    egress: list[EgressRule] = Field(
        default=[EgressRule(ports=[NetworkPolicyPort(port=443)])],
        max_length=16,
        description="Connections that the engine's pods may make besides those to engine, database, cache and DNS. "
        "Empty: none. The default is for liquidity providers, at any address.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
