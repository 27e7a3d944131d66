"""CPU and memory of a container."""

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import ApiModel, Bytes, Cpu, rule, rules


class Amounts(ApiModel):
    """Amounts of CPU and memory."""

    cpu: Cpu | None = Field(default=None, description="Cores, for example 500m or 2. Unset: the default size.")
    memory: Bytes | None = Field(default=None, description="Bytes, for example 512Mi or 2Gi. Unset: the default size.")


class Resources(ApiModel):
    """CPU and memory of one container. An unset value has a default, adjusted so that no request exceeds its limit."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                rule(
                    f"!has(self.requests.{one}) || !has(self.limits.{one}) || "
                    f"!isQuantity(string(self.requests.{one})) || !isQuantity(string(self.limits.{one})) || "
                    f"quantity(string(self.requests.{one})).compareTo(quantity(string(self.limits.{one}))) <= 0",
                    f"requests.{one} must not be above limits.{one}: lower the request or raise the limit",
                    f".requests.{one}",
                )
                for one in ("cpu", "memory")
            )
        )
    )

    requests: Amounts = Field(default=Amounts(), description="What the scheduler reserves on a node for each pod.")
    limits: Amounts = Field(
        default=Amounts(),
        description="Most that the container may use. Above the CPU limit it is throttled, above the memory limit "
        "killed.",
    )
