"""The ServiceAccount of engine pods."""

from rtx_operator.api.enums import Component
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render


def service_account(inputs: BuildInput) -> Object | None:
    """The ServiceAccount of engine and migration pods, without rights; None when the spec names an existing one.

    One that was made earlier stays: pods of an older revision may still need it.
    """
    if inputs.spec.service_account.name:
        return None
    return render(
        "engine/serviceaccount",
        name=inputs.names.engine_account,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        annotations=dict(inputs.spec.service_account.annotations),
    )
