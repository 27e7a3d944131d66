"""spec.service: the live Service, to which clients connect."""

from typing import Literal

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import Annotations, ApiModel, rule, rules


class LiveService(ApiModel):
    """The live Service NAME-engine, to which clients connect. An edit takes effect at once and is no upgrade."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'",
                "externalTrafficPolicy works only with type NodePort or LoadBalancer: remove it, or set such a type",
                ".externalTrafficPolicy",
            )
        )
    )

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP",
        description="Who can connect: clients in the cluster, through a port of each node, or through a load balancer. "
        "With the last two, networkPolicy.ipBlocks must admit the clients.",
    )
    annotations: Annotations = Field(
        default={}, description="Annotations of the Service, for example for the cloud's load balancer. Unset: none."
    )
    external_traffic_policy: Literal["Cluster", "Local"] | None = Field(
        default=None,
        description="Local keeps the address of clients, and sends traffic only to nodes with engine pods. Cluster "
        "replaces it by that of a node, so that networkPolicy.ipBlocks must have the nodes. Unset: Cluster.",
    )
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = Field(
        default=None,
        description="Number of address families of the Service; the engine listens on both. RequireDualStack is "
        "refused by a cluster that has only one. Unset: SingleStack.",
    )
    ip_families: list[Literal["IPv4", "IPv6"]] = Field(
        default=[],
        max_length=2,
        description="Address families of the Service; the first one is fixed at creation. Unset: the cluster's "
        "default.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
