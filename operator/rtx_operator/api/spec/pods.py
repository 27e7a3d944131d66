"""What pods refer to: Secrets, and their ServiceAccount."""

from pydantic import Field

from rtx_operator.api.schema import Annotations, ApiModel, ObjectName


class SecretRef(ApiModel):
    """A Secret in the TradingEngine's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")


class ServiceAccount(ApiModel):
    """The ServiceAccount of the engine's pods. It has no rights on the API server, and its token is not mounted."""

    annotations: Annotations = Field(
        default={}, description="Annotations of the ServiceAccount, for example the cloud role of the pods."
    )
