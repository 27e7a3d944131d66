"""The objects that lead to one colour at a time: live Service and HorizontalPodAutoscaler."""

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import SERVICE_PORT
from rtx_operator.desired.engine.autoscaling import autoscaler
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render

# 3 h, Kubernetes' default.
_STICKY = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10_800}}}


def _live_service(inputs: BuildInput, colour: Colour) -> Object:
    """The live Service, to which clients connect. It selects one colour."""
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


def traffic_children(inputs: BuildInput, colour: Colour) -> list[Object]:
    """The live Service first, then, unless the size is fixed, the HorizontalPodAutoscaler."""
    scaler = autoscaler(inputs, colour)
    return [_live_service(inputs, colour), *([scaler] if scaler else [])]
