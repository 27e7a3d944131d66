"""What spec.database and spec.cache have in common."""

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import ApiModel, Bytes, ObjectName, Schema, matches, rule, rules
from rtx_operator.api.spec.image import DIGEST, REPOSITORY
from rtx_operator.api.spec.pods import PodAnnotations, PodLabels, PodSecurityContext, ServiceAccountRef
from rtx_operator.api.spec.resources import Resources
from rtx_operator.api.spec.scheduling import Scheduling

_FIXED = frozenset({"storage", "storageClassName", "podSecurityContext"})  # the API server refuses an edit


class StatefulServer(ApiModel):
    """What PostgreSQL and Redis have in common: a volume, an image, resources."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.storageClassName) == has(oldSelf.storageClassName) && "
                "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                "storageClassName cannot change after creation: set it back; a volume stays in its storage class",
                ".storageClassName",
            ),
            rule(
                "!isQuantity(string(self.storage)) || "
                "quantity(string(self.storage)).compareTo(quantity(string(oldSelf.storage))) == 0",
                "storage cannot change after creation: set it back; volumes do not grow in this release",
                ".storage",
            ),
            rule(
                "has(self.podSecurityContext) == has(oldSelf.podSecurityContext) && "
                "(!has(self.podSecurityContext) || self.podSecurityContext == oldSelf.podSecurityContext)",
                "podSecurityContext cannot change after creation: set it back; the files of the volume belong to its "
                "user",
                ".podSecurityContext",
            ),
        )
    )

    storage: Bytes = Field(description="Size of the volume in bytes, for example 50Gi. Fixed at creation.")
    storage_class_name: ObjectName | None = Field(
        default=None, description="Storage class of the volume. Unset: the cluster's default class. Fixed at creation."
    )
    image: str | None = Field(
        default=None,
        max_length=512,
        description="Image with tag or digest. Unset: the image that the operator was installed with. An edit "
        "begins a maintenance, which restarts it.",
        json_schema_extra=rules(
            matches(
                f"^{REPOSITORY}(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@{DIGEST})?$",
                "must be an image, such as registry.example.com/rtx-postgres:17",
            ),
            rule(
                "self.contains('@') || self.substring(self.lastIndexOf('/') + 1).contains(':')",
                "must have a tag or a digest, so that a restarted pod runs what it ran before",
            ),
        ),
    )
    resources: Resources = Field(
        default=Resources(), description="CPU and memory of the container. An edit begins a maintenance."
    )
    scheduling: Scheduling = Field(
        default=Scheduling(),
        description="Nodes for the pod. An edit begins a maintenance, and touches no other component.",
    )
    pod_labels: PodLabels = Field(
        default={}, description="More labels of the pod. Unset: none. An edit begins a maintenance."
    )
    pod_annotations: PodAnnotations = Field(
        default={}, description="More annotations of the pod. Unset: none. An edit begins a maintenance."
    )
    pod_security_context: PodSecurityContext | None = Field(
        default=None,
        description="User and groups of the pod. Unset: user, group and fsGroup 10001 (database) or 10002 (cache). "
        "Set: exactly the fields in it; the platform chooses the others, so that {} fits OpenShift. Fixed at creation.",
    )
    service_account: ServiceAccountRef = ServiceAccountRef()

    def asked_of_pods(self) -> Schema:
        """What of it a pod is made from, without defaults, so that another release of the operator finds the same."""
        fields = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {field: value for field, value in fields.items() if field not in _FIXED}
