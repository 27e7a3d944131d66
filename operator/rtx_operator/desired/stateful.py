"""What the StatefulSets of database and cache have in common."""

from fractions import Fraction

from rtx_operator.api.enums import Component, DeletionPolicy
from rtx_operator.api.names import Label
from rtx_operator.api.quantities import amount
from rtx_operator.desired.layout import Layout
from rtx_operator.desired.render import Object


def common(layout: Layout, component: Component) -> Object:
    """Values that both templates take."""
    names = layout.names
    selector = names.selector(component)
    return {
        "namespace": layout.namespace,
        "labels": names.labels(component),
        "owners": layout.owners,
        "selector": selector,
        # Claims belong to the StatefulSet, whose controller deletes them with it or spares them.
        "when_deleted": "Delete" if layout.spec.deletion_policy is DeletionPolicy.DELETE else "Retain",
        # Few, because a claim template can never be changed.
        "claim_labels": {**selector, Label.ENGINE.value: layout.name},
        "pull_secrets": layout.pull_secrets,
        "credentials": layout.credentials,
        **layout.placement,
    }


def mebibytes(quantity: str | None, share: Fraction) -> int:
    """A share of a quantity of bytes, in whole mebibytes, 16 at least."""
    return max(16, int(amount(quantity or "0") * share / 2**20))
