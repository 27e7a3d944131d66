"""spec.networkPolicy: who may connect to whom."""

from pydantic import Field

from rtx_operator.api.enums import PeerPort
from rtx_operator.api.schema import ApiModel, Labels, NamespaceName, ObjectName


class Peer(ApiModel):
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


class NetworkPolicy(ApiModel):
    """Who may connect to the engine. Its own parts and the operator always may; everybody else is refused."""

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
