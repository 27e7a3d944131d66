"""The values that the StatefulSets of database and cache share."""

from fractions import Fraction

from rtx_operator.api.enums import Component
from rtx_operator.api.names import KEPT
from rtx_operator.api.quantities import amount
from rtx_operator.api.spec import StatefulServer
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import annotations, counting, scheduling_values, security_context, spread_evenly
from rtx_operator.desired.render import Object


def common(
    inputs: BuildInput, component: Component, server: StatefulServer, *, user: int, fingerprint: str, spread: list[str]
) -> Object:
    """The values that both templates take, by name.

    `user` is the image's user and group; `spread` are the node labels over which pods spread unless spec says how.
    """
    names = inputs.names
    selector, labels = names.selector(component), names.labels(component)
    scheduling = scheduling_values(server.scheduling)
    users = {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    return {
        "namespace": inputs.namespace,
        "labels": labels,
        "pod_labels": {**server.pod_labels, **labels},
        "pod_annotations": annotations(server.pod_annotations, fingerprint),
        "account": server.service_account.name or "",
        "security_context": {
            **security_context(server.pod_security_context, users),
            "fsGroupChangePolicy": "OnRootMismatch",
        },
        "owners": inputs.owners,
        "selector": selector,
        # The StatefulSet's controller deletes or keeps the volume claims when the StatefulSet is deleted.
        "when_deleted": inputs.spec.deletion_policy.value,
        # A claim template cannot be changed: few labels, and the same annotations under either deletionPolicy.
        "claim_labels": selector,
        "claim_annotations": KEPT,
        "pull_secrets": inputs.pull_secrets,
        "credentials": inputs.credentials,
        **scheduling,
        "topology_spread": counting(scheduling["topology_spread"] or spread_evenly(*spread), selector),
    }


def mebibytes(quantity: str | None, share: Fraction) -> int:
    """`share` of a Kubernetes quantity of bytes, in whole MiB, rounded down; at least 16."""
    return max(16, int(amount(quantity or "0") * share / 2**20))
