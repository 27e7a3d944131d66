"""The ServiceAccount of engine pods."""

from rtx_operator.api.enums import Component
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render


def service_account(inputs: BuildInput) -> Object:
    """The ServiceAccount of engine pods. It has no rights, and its token is not mounted."""
    return render(
        "engine/serviceaccount",
        name=inputs.names.engine_account,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        annotations=dict(inputs.spec.service_account.annotations),
    )
