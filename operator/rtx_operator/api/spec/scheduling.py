"""The nodes on which pods may run."""

from typing import Literal

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import Affinity, ApiModel, LabelKey, Labels, ObjectName, rule, rules


class Toleration(ApiModel):
    """A taint of nodes that the pods tolerate."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.key) || self.operator == 'Exists'",
                "operator must be Exists when there is no key: set operator: Exists, or a key",
                ".operator",
            ),
            rule(
                "!has(self.value) || self.operator == 'Equal'",
                "value must be absent with operator Exists: remove it, or use operator Equal",
                ".value",
            ),
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds works only with effect NoExecute: remove it, or set that effect",
                ".tolerationSeconds",
            ),
        )
    )

    key: str | None = Field(
        default=None, min_length=1, max_length=317, description="Key of the taint. Unset: every key."
    )
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="Exists tolerates any value of the key, Equal only the given one."
    )
    value: str | None = Field(
        default=None, max_length=63, description="Value of the taint, for operator Equal. Unset: an empty value."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint. Unset: every effect."
    )
    toleration_seconds: int | None = Field(
        default=None,
        ge=0,
        description="Seconds that pods stay on a node with a NoExecute taint; then they are evicted. Unset: for ever.",
    )


class TopologySpreadConstraint(ApiModel):
    """Spreads pods over the values of a node label. It counts the pods of one colour, or of one component."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
                "minDomains works only with whenUnsatisfiable DoNotSchedule: remove it, or set that",
                ".minDomains",
            )
        )
    )

    topology_key: LabelKey = Field(
        description="Label of nodes whose values are the domains, for example topology.kubernetes.io/zone."
    )
    max_skew: int = Field(
        default=1, ge=1, le=100, description="Highest difference in the number of pods between two domains."
    )
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        default="ScheduleAnyway",
        description="What happens to a pod that would exceed maxSkew. ScheduleAnyway: it starts elsewhere only if it "
        "can. DoNotSchedule: it waits.",
    )
    min_domains: int | None = Field(
        default=None, ge=1, le=100, description="Fewest domains to spread over, with DoNotSchedule. Unset: 1."
    )
    node_affinity_policy: Literal["Honor", "Ignore"] | None = Field(
        default=None, description="Whether nodes that nodeSelector or affinity exclude count as domains. Unset: Honor."
    )
    node_taints_policy: Literal["Honor", "Ignore"] | None = Field(
        default=None, description="Whether nodes with taints that are not tolerated are left out. Unset: Ignore."
    )


class Scheduling(ApiModel):
    """Nodes for the pods of one component."""

    node_selector: Labels = Field(default={}, description="Labels that a node must have. Unset: any node.")
    tolerations: list[Toleration] = Field(
        default=[], max_length=20, description="Taints that the pods tolerate. Unset: none."
    )
    affinity: Affinity | None = Field(
        default=None, description="Affinity of the pods. Migration Jobs ignore it. Unset: none."
    )
    topology_spread_constraints: list[TopologySpreadConstraint] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="How pods spread over nodes. Unset: the engine over zones and nodes, the database over zones, each "
        "with ScheduleAnyway. Migration Jobs ignore it.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["topologyKey", "whenUnsatisfiable"],
        },
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="PriorityClass of the pods. Unset: the cluster's default."
    )
