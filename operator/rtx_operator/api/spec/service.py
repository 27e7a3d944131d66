"""spec.service: the live Service, to which clients connect."""

from typing import Literal

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import Annotations, ApiModel, only, rule, rules


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
    ip_family_policy: str | None = Field(
        default=None,
        max_length=32,
        description="Number of address families of the Service. Unset: SingleStack.",
        json_schema_extra=only("SingleStack", later="PreferDualStack and RequireDualStack are"),
    )
    ip_families: list[str] = Field(
        default=[],
        max_length=2,
        description="Address families of the Service. Unset: the cluster's default.",
        json_schema_extra=rules(
            rule("self.all(one, one == 'IPv4')", "must be [IPv4]: the engine does not listen on IPv6 in this release"),
            **{"x-kubernetes-list-type": "set"},
        ),
    )
