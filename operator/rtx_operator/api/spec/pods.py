"""What pods have besides containers: labels, annotations, users, ServiceAccount, Secrets."""

from pydantic import ConfigDict, Field

from rtx_operator.api.names import GROUP, Label
from rtx_operator.api.schema import Annotations, ApiModel, ObjectName, annotations, labels, rule, rules

_OPERATORS = tuple(label.value for label in Label if not label.startswith(f"{GROUP}/"))
_KUBERNETES = (  # set by the controllers of Deployments, StatefulSets and Jobs
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/controller-uid",
    "job-name",
    "controller-uid",
)
RESERVED_LABELS = (*_OPERATORS, *_KUBERNETES)

PodLabels = labels(
    rule(
        f"self.all(key, !key.startsWith('{GROUP}/') && !(key in {list(RESERVED_LABELS)}))",
        f"must not have a label that the operator or Kubernetes sets ({', '.join(_OPERATORS)}, {GROUP}/..., "
        "pod-template-hash and the like): use another key",
    )
)
PodAnnotations = annotations(
    rule(
        f"self.all(key, !key.startsWith('{GROUP}/'))",
        f"must not have an annotation of {GROUP}/, which the operator sets: use another key",
    )
)


class SecretRef(ApiModel):
    """A Secret in the TradingEngine's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")


class ServiceAccount(ApiModel):
    """The ServiceAccount of engine and migration pods. The operator gives it no rights and mounts no token."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.name) || size(self.annotations) == 0",
                "annotations must be absent when name is set: annotate that ServiceAccount yourself",
                ".annotations",
            )
        )
    )

    name: ObjectName | None = Field(
        default=None,
        description="Existing ServiceAccount to use. Unset: the operator creates NAME-engine. An edit makes an "
        "upgrade.",
    )
    annotations: Annotations = Field(
        default={},
        description="Annotations of the ServiceAccount that the operator creates, for example the cloud role of the "
        "pods. An edit takes effect at once.",
    )


class ServiceAccountRef(ApiModel):
    """The ServiceAccount of the pod. Only the database's pods have a token: Patroni's lock is at the API server."""

    name: ObjectName | None = Field(
        default=None,
        description="Existing ServiceAccount to use. Unset: the namespace's default, and for the database one that the "
        "operator makes. Either gets the rights that Patroni needs. An edit begins a maintenance.",
    )


class PodSecurityContext(ApiModel):
    """User and groups of pods. runAsNonRoot and seccompProfile RuntimeDefault are always set, as Pod Security asks."""

    run_as_user: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="User id of the processes. Unset: the platform's choice, else the image's user.",
    )
    run_as_group: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Group id of the processes. Unset: the platform's choice, else the image's group.",
    )
    fs_group: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Group id that owns the files of volumes. Unset: the platform's choice, else that of the volume.",
    )
    supplemental_groups: list[int] = Field(
        default=[],
        max_length=16,
        description="More group ids of the processes. Unset: none.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
