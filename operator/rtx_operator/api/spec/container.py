"""What users add to the engine's container: environment variables, volumes, certificates."""

from pydantic import ConfigDict, Field

from rtx_operator.api.names import ENGINE_FOLDERS, ENGINE_VARIABLES, ENGINE_VOLUMES
from rtx_operator.api.schema import ApiModel, ObjectName, PodObject, VolumeName, WholeModel, matches, rule, rules

# Without the segments . and .., so that a path has one notation only.
_MOUNT_PATH = r"^(/[A-Za-z0-9_.-]*[A-Za-z0-9_-])+$"
_KEY = matches(r"^[-._a-zA-Z0-9]+$", "must be a key: letters, digits, dashes, dots and underscores")
_SOURCES = ("configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim", "csi")


class KeyRef(ApiModel):
    """A key of a Secret or ConfigMap in the TradingEngine's namespace."""

    name: ObjectName = Field(description="Name of the Secret or ConfigMap.")
    key: str = Field(max_length=253, description="Key in it.", json_schema_extra=rules(_KEY))
    optional: bool = Field(
        default=False, description="Whether pods start without it; then the variable is not set. Default: they wait."
    )


class FieldRef(ApiModel):
    """A field of the pod."""

    field_path: str = Field(
        min_length=1, max_length=253, description="Path of the field, for example spec.nodeName or status.podIP."
    )


class EnvVarSource(WholeModel):
    """The source of a variable's value."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].exists_one(given, given)",
                "must have exactly one of secretKeyRef, configMapKeyRef and fieldRef",
            )
        )
    )

    secret_key_ref: KeyRef | None = Field(default=None, description="Key of a Secret.")
    config_map_key_ref: KeyRef | None = Field(default=None, description="Key of a ConfigMap.")
    field_ref: FieldRef | None = Field(default=None, description="Field of the pod.")


class EnvVar(ApiModel):
    """An environment variable of the engine's container. Pods read Secrets and ConfigMaps only when they start."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.value) || !has(self.valueFrom)",
                "valueFrom must be absent when value is set: keep one of the two",
                ".valueFrom",
            )
        )
    )

    name: str = Field(
        max_length=253,
        description="Name of the variable, unique in the list.",
        json_schema_extra=rules(
            matches(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", "must be a variable's name: letters, digits and underscores"),
            rule(
                f"!(self in {list(ENGINE_VARIABLES)})",
                "must not be a variable that the operator sets: remove it, and use the field of spec that sets it "
                "(docs/architecture.md lists the variables)",
            ),
        ),
    )
    value: str | None = Field(default=None, max_length=32_768, description="Its value. Unset: empty.")
    value_from: EnvVarSource | None = Field(default=None, description="Source of its value, instead of value.")


class Volume(WholeModel):
    """A volume of engine pods. Both colours mount it at the same time, on several nodes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"[{', '.join(f'has(self.{one})' for one in _SOURCES)}].exists_one(given, given)",
                f"must have exactly one of {', '.join(_SOURCES)}",
            )
        )
    )

    name: VolumeName = Field(
        description="Name of the volume, unique in the list.",
        json_schema_extra=rules(
            rule(
                f"!(self in {list(ENGINE_VOLUMES)})",
                f"must not be {' or '.join(ENGINE_VOLUMES)}, which the operator adds itself: choose another name",
            )
        ),
    )
    config_map: PodObject | None = Field(default=None, description="Files from a ConfigMap, as in a pod's spec.")
    secret: PodObject | None = Field(default=None, description="Files from a Secret, as in a pod's spec.")
    projected: PodObject | None = Field(default=None, description="Files from several sources, as in a pod's spec.")
    empty_dir: PodObject | None = Field(default=None, description="An empty folder, as in a pod's spec.")
    persistent_volume_claim: PodObject | None = Field(
        default=None, description="An existing claim, as in a pod's spec; its access mode must allow several nodes."
    )
    csi: PodObject | None = Field(default=None, description="A volume of a CSI driver, as in a pod's spec.")


class VolumeMount(ApiModel):
    """A mount of one of extraVolumes in the engine's container."""

    name: VolumeName = Field(description="Name of the volume in extraVolumes.")
    mount_path: str = Field(
        max_length=253,
        description="Absolute path in the container, unique in the list.",
        json_schema_extra=rules(
            matches(
                _MOUNT_PATH, "must be an absolute path such as /etc/rtx-extra, without ., .. and a slash at its end"
            ),
            rule(
                " && ".join(f"self != '{one}' && !self.startsWith('{one}/')" for one in ENGINE_FOLDERS),
                f"must not be in {', '.join(ENGINE_FOLDERS)}, which the engine needs as they are: choose another path, "
                "such as /etc/rtx-extra",
            ),
        ),
    )
    sub_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Path inside the volume to mount. Unset: the whole volume.",
        json_schema_extra=rules(
            rule("!self.startsWith('/') && !self.contains('..')", "must be a path inside the volume, without / and ..")
        ),
    )
    read_only: bool = Field(default=False, description="Whether the engine may only read it.")


class TrustedCA(ApiModel):
    """A ConfigMap with the certificates of all authorities that the engine trusts."""

    name: ObjectName = Field(description="Name of the ConfigMap, in the TradingEngine's namespace.")
    key: str = Field(
        default="ca-bundle.crt",
        max_length=253,
        description="Key with the certificates.",
        json_schema_extra=rules(_KEY),
    )
