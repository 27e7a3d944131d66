"""What belongs to one colour: the record of its revision, its configuration, its Service, its pods."""

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import HTTP_PORT, METRICS_PORT, SERVICE_PORT, Label
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.revision import RevisionSpec


def _config(inputs: BuildInput, revision: RevisionSpec) -> Object:
    """The configuration of a colour. It is immutable and named by its content, so that going back brings it back."""
    return render(
        "engine/configmap",
        name=inputs.names.config(revision.config_hash),
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        config=dict(revision.config),
    )


def controller_revision(inputs: BuildInput, revision: RevisionSpec) -> Object:
    """Records a revision, so that pods which run keep it when the spec already asks for another."""
    return render(
        "engine/controllerrevision",
        name=inputs.names.config(revision.hash),
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE, version=revision.version),
        owners=inputs.owners,
        spec=revision.record(),
    )


def _service(inputs: BuildInput, colour: Colour) -> Object:
    """Reaches one colour, whether or not it is the active one."""
    return render(
        "engine/service",
        name=inputs.names.colour(colour),
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE, colour=colour),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.ENGINE, colour),
        sticky=False,
        port=SERVICE_PORT,
    )


def _deployment(inputs: BuildInput, colour: Colour, revision: RevisionSpec) -> Object:
    """The pods of one colour, without their number."""
    return render(
        "engine/deployment",
        name=inputs.names.colour(colour),
        namespace=inputs.namespace,
        labels={
            **inputs.names.labels(Component.ENGINE, version=revision.version, colour=colour),
            Label.REVISION.value: revision.hash,
        },
        owners=inputs.owners,
        selector=inputs.names.selector(Component.ENGINE, colour),
        colour=colour,
        account=inputs.names.engine_account,
        config_name=inputs.names.config(revision.config_hash),
        internal=inputs.names.internal,
        fingerprint=inputs.fingerprints.engine,
        http_port=HTTP_PORT,
        metrics_port=METRICS_PORT,
        **revision.record(),
    )


def colour_children(inputs: BuildInput, colour: Colour, revision: RevisionSpec) -> list[Object]:
    """What belongs to one colour; what its pods refer to comes before them."""
    return [
        controller_revision(inputs, revision),
        _config(inputs, revision),
        _service(inputs, colour),
        _deployment(inputs, colour, revision),
    ]
