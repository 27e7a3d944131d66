"""The values that engine pods and migration pods have from a revision."""

from collections.abc import Mapping

from rtx_operator.api.names import TRUSTED_CA_FILE, TRUSTED_CA_FOLDER, TRUSTED_CA_VOLUME
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object
from rtx_operator.desired.revision import RevisionSpec


def pod_values(inputs: BuildInput, revision: RevisionSpec, labels: Mapping[str, str]) -> Object:
    """The values of the template's part that is a pod. `labels` are the operator's, which win over the user's."""
    return {
        "pod_labels": {**revision.pod_labels, **labels},
        "pod_annotations": dict(revision.pod_annotations),
        "account": revision.account,
        "security_context": dict(revision.security_context),
        "priority_class": revision.priority_class,
        "pull_secrets": revision.pull_secrets,
        "node_selector": dict(revision.node_selector),
        "tolerations": revision.tolerations,
        "image": revision.image,
        "pull_policy": revision.pull_policy,
        "internal": inputs.names.internal,
        # What a pod compares with the fence's owner; without the uid, as Owner.owns does.
        "database_owner": f"{inputs.namespace}/{inputs.names.engine}",
    }


def container_values(revision: RevisionSpec) -> Object:
    """What spec adds to the engine's container: env, volumes, volume_mounts."""
    added: Object = {
        "env": list(revision.env),
        "volumes": list(revision.volumes),
        "volume_mounts": list(revision.volume_mounts),
    }
    if revision.trusted_ca:
        items = [{"key": revision.trusted_ca["key"], "path": TRUSTED_CA_FILE.rpartition("/")[2]}]
        bundle = {"name": revision.trusted_ca["name"], "items": items}
        added["env"].append({"name": "SSL_CERT_FILE", "value": TRUSTED_CA_FILE})
        added["volumes"].append({"name": TRUSTED_CA_VOLUME, "configMap": bundle})
        added["volume_mounts"].append({"name": TRUSTED_CA_VOLUME, "mountPath": TRUSTED_CA_FOLDER, "readOnly": True})
    return added
