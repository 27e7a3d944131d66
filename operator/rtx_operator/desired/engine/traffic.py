"""What directs the traffic to the active colour: the live Service, the disruption budget, the autoscaler."""

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import SERVICE_PORT
from rtx_operator.desired.engine.autoscaling import autoscaler
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render


def _live_service(inputs: BuildInput, colour: Colour) -> Object:
    """Where clients connect: reaches the active colour."""
    return render(
        "engine/service",
        name=inputs.names.live_service,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.ENGINE, colour),
        sticky=True,
        port=SERVICE_PORT,
    )


def _disruption_budget(inputs: BuildInput, colour: Colour) -> Object:
    """Drains of nodes take the active colour's pods one at a time."""
    return render(
        "engine/poddisruptionbudget",
        name=inputs.names.disruption_budget,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.ENGINE, colour),
    )


def traffic_children(inputs: BuildInput, active: Colour) -> list[Object]:
    """What directs the traffic to the active colour, and keeps it as large as the traffic needs."""
    scaler = autoscaler(inputs, active)
    always = [_live_service(inputs, active), _disruption_budget(inputs, active)]
    return [*always, scaler] if scaler else always
