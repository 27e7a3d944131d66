"""The objects that follow the active colour: live Service, PodDisruptionBudget, HorizontalPodAutoscaler."""

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import SERVICE_PORT
from rtx_operator.desired.engine.autoscaling import autoscaler
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render

# 3 h, Kubernetes' default.
_STICKY = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10_800}}}


def _live_service(inputs: BuildInput, colour: Colour) -> Object:
    """The live Service, to which clients connect. It selects the active colour."""
    service = inputs.spec.service
    given = {
        "externalTrafficPolicy": service.external_traffic_policy,
        "ipFamilyPolicy": service.ip_family_policy,
        "ipFamilies": service.ip_families,
    }
    return render(
        "engine/service",
        name=inputs.names.live_service,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.ENGINE, colour),
        type=service.type,
        more={**_STICKY, **{name: value for name, value in given.items() if value}},
        annotations=dict(service.annotations),
        port=SERVICE_PORT,
    )


def _disruption_budget(inputs: BuildInput, colour: Colour) -> Object:
    """The budget that lets a drain of nodes evict one pod of the active colour at a time."""
    return render(
        "engine/poddisruptionbudget",
        name=inputs.names.disruption_budget,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.ENGINE, colour),
    )


def traffic_children(inputs: BuildInput, active: Colour) -> list[Object]:
    """The live Service first, then PodDisruptionBudget and, unless the size is fixed, HorizontalPodAutoscaler."""
    scaler = autoscaler(inputs, active)
    objects = [_live_service(inputs, active), _disruption_budget(inputs, active)]
    return [*objects, scaler] if scaler else objects
