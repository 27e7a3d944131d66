"""The objects of one colour: ControllerRevision, ConfigMap, Service, Deployment."""

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import HTTP_PORT, METRICS_PORT, SERVICE_PORT, Label
from rtx_operator.desired.engine.pods import container_values, pod_values
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import counting
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.revision import DEFAULT_SPREAD, RevisionSpec


def _config(inputs: BuildInput, revision: RevisionSpec) -> Object:
    """The ConfigMap of a colour. It is immutable and its name has its hash, so that a rollback finds the old one."""
    return render(
        "engine/configmap",
        name=inputs.names.config(revision.config_hash),
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        config=dict(revision.config),
    )


def controller_revision(inputs: BuildInput, revision: RevisionSpec) -> Object:
    """The ControllerRevision that records a revision, so that running pods keep theirs after the spec has changed."""
    return render(
        "engine/controllerrevision",
        name=inputs.names.config(revision.hash),
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE, version=revision.version),
        owners=inputs.owners,
        spec=revision.record(),
    )


def _service(inputs: BuildInput, colour: Colour) -> Object:
    """The Service of one colour, active or idle."""
    return render(
        "engine/service",
        name=inputs.names.colour(colour),
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE, colour=colour),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.ENGINE, colour),
        type="ClusterIP",
        more={},
        annotations={},
        port=SERVICE_PORT,
    )


def _deployment(inputs: BuildInput, colour: Colour, revision: RevisionSpec) -> Object:
    """The Deployment of one colour. It has no replicas: cutover and autoscaler set them by the scale subresource."""
    selector = inputs.names.selector(Component.ENGINE, colour)
    labels = {
        **inputs.names.labels(Component.ENGINE, version=revision.version, colour=colour),
        Label.REVISION.value: revision.hash,
    }
    return render(
        "engine/deployment",
        name=inputs.names.colour(colour),
        namespace=inputs.namespace,
        labels=labels,
        owners=inputs.owners,
        selector=selector,
        colour=colour,
        revision_hash=revision.hash,
        config_name=inputs.names.config(revision.config_hash),
        credentials=revision.credentials,
        resources=revision.resources,
        affinity=revision.affinity,
        topology_spread=counting(revision.topology_spread or DEFAULT_SPREAD, selector),
        http_port=HTTP_PORT,
        metrics_port=METRICS_PORT,
        **pod_values(inputs, revision, labels, inputs.fingerprints.engine),
        **container_values(revision),
    )


def colour_children(inputs: BuildInput, colour: Colour, revision: RevisionSpec) -> list[Object]:
    """The objects of one colour: ControllerRevision first, Deployment last, after all that its pods refer to."""
    return [
        controller_revision(inputs, revision),
        _config(inputs, revision),
        _service(inputs, colour),
        _deployment(inputs, colour, revision),
    ]
