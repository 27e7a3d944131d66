"""The nodes on which pods may run."""

from typing import Literal

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import Affinity, ApiModel, Labels, rule, rules


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


class Scheduling(ApiModel):
    """Nodes for the pods of engine, database and cache. An edit makes an upgrade, and restarts database and cache."""

    node_selector: Labels = Field(default={}, description="Labels that a node must have. Unset: any node.")
    tolerations: list[Toleration] = Field(
        default=[], max_length=20, description="Taints that the pods tolerate. Unset: none."
    )
    affinity: Affinity | None = Field(
        default=None, description="Affinity of the engine's pods; database and cache ignore it. Unset: none."
    )
