"""The HorizontalPodAutoscaler of the colour that executes."""

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.sizes import replica_range
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import plain
from rtx_operator.desired.render import Object, render


def autoscaler(inputs: BuildInput, colour: Colour) -> Object | None:
    """The HorizontalPodAutoscaler of a colour; None when minimum and maximum are equal."""
    scaling = inputs.spec.scaling
    bounds = replica_range(inputs.spec.environment, scaling)
    if not bounds.autoscaled:
        return None
    return render(
        "engine/horizontalpodautoscaler",
        name=inputs.names.autoscaler,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        target=inputs.names.colour(colour),
        minimum=bounds.minimum,
        maximum=bounds.maximum,
        cpu_percent=scaling.target_cpu_utilization_percent,
        memory_percent=scaling.target_memory_utilization_percent,
        orders_metric=inputs.orders_metric,
        behavior=plain(scaling.behavior),
        orders_per_second=str(scaling.target_orders_per_second_per_pod),
    )
