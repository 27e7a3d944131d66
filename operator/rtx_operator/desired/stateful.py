"""The values that the StatefulSets of database and cache share."""

from fractions import Fraction

from rtx_operator.api.enums import Component, DeletionPolicy
from rtx_operator.api.names import Label
from rtx_operator.api.quantities import amount
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object


def common(inputs: BuildInput, component: Component) -> Object:
    """The values that both templates take, by name."""
    names = inputs.names
    selector = names.selector(component)
    return {
        "namespace": inputs.namespace,
        "labels": names.labels(component),
        "owners": inputs.owners,
        "selector": selector,
        # The StatefulSet's controller deletes or keeps the volume claims when the StatefulSet is deleted.
        "when_deleted": "Delete" if inputs.spec.deletion_policy is DeletionPolicy.DELETE else "Retain",
        # Few labels, because a claim template cannot be changed.
        "claim_labels": {**selector, Label.ENGINE.value: inputs.name},
        "pull_secrets": inputs.pull_secrets,
        "credentials": inputs.credentials,
        **inputs.placement,
    }


def mebibytes(quantity: str | None, share: Fraction) -> int:
    """`share` of a Kubernetes quantity of bytes, in whole MiB, rounded down; at least 16."""
    return max(16, int(amount(quantity or "0") * share / 2**20))
