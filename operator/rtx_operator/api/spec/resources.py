"""CPU and memory of a container."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from rtx_operator.api.quantities import amount
from rtx_operator.api.schema import ApiModel, Bytes, Cpu, rule, rules

_ABOVE_LIMIT = "requests.{0} must not be above limits.{0}: lower the request or raise the limit"


class Amounts(ApiModel):
    """Amounts of CPU and memory."""

    cpu: Cpu | None = Field(default=None, description="Cores, for example 500m, 0.5 or 2. Unset: the default size.")
    memory: Bytes | None = Field(default=None, description="Bytes, for example 512Mi or 2Gi. Unset: the default size.")


class Resources(ApiModel):
    """CPU and memory of one container. An unset value has a default, adjusted so that no request exceeds its limit."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.requests.memory) || !has(self.limits.memory) || "
                "!isQuantity(string(self.requests.memory)) || !isQuantity(string(self.limits.memory)) || "
                "quantity(string(self.requests.memory)).compareTo(quantity(string(self.limits.memory))) <= 0",
                _ABOVE_LIMIT.format("memory"),
                ".requests.memory",
            )
        )
    )

    requests: Amounts = Field(default=Amounts(), description="What the scheduler reserves on a node for each pod.")
    limits: Amounts = Field(
        default=Amounts(),
        description="Most that the container may use. Above the CPU limit it is throttled, above the memory limit "
        "killed.",
    )

    @model_validator(mode="after")
    def _cpu_within_limit(self) -> Self:
        """The API server cannot compare what has no type."""
        request, limit = self.requests.cpu, self.limits.cpu
        if request and limit and amount(request) > amount(limit):
            raise ValueError(_ABOVE_LIMIT.format("cpu"))
        return self
