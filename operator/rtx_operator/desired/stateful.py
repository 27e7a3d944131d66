"""What the StatefulSets of database and cache have in common."""

from fractions import Fraction

from rtx_operator.api.enums import Component, DeletionPolicy
from rtx_operator.api.names import Label
from rtx_operator.api.quantities import amount
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object


def common(inputs: BuildInput, component: Component) -> Object:
    """Values that both templates take."""
    names = inputs.names
    selector = names.selector(component)
    return {
        "namespace": inputs.namespace,
        "labels": names.labels(component),
        "owners": inputs.owners,
        "selector": selector,
        # Claims belong to the StatefulSet, whose controller deletes them with it or spares them.
        "when_deleted": "Delete" if inputs.spec.deletion_policy is DeletionPolicy.DELETE else "Retain",
        # Few, because a claim template can never be changed.
        "claim_labels": {**selector, Label.ENGINE.value: inputs.name},
        "pull_secrets": inputs.pull_secrets,
        "credentials": inputs.credentials,
        **inputs.placement,
    }


def mebibytes(quantity: str | None, share: Fraction) -> int:
    """A share of a quantity of bytes, in whole mebibytes, 16 at least."""
    return max(16, int(amount(quantity or "0") * share / 2**20))
