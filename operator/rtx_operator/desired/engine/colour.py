"""The objects of one colour: ControllerRevision, ConfigMap, Service, PodDisruptionBudget, Deployment.

A record is rendered once, from today's templates (`rendered`); the objects are then made from the record.
"""

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import DIGEST, HTTP_PORT, METRICS_PORT, REFRESH, SERVICE_PORT, Label
from rtx_operator.desired.engine.migration import migration_spec
from rtx_operator.desired.engine.pods import container_values, pod_values
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import annotations, counting
from rtx_operator.desired.record import Record
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.revision import RevisionSpec


def rendered(inputs: BuildInput, colour: Colour, revision: RevisionSpec) -> Record:
    """The record of a revision that was never made in this colour, by the templates of this release."""
    return Record(
        revision=revision.hash,
        inputs=revision.inputs,
        refresh=revision.refresh,
        config_name=inputs.names.config(revision.config_hash),
        config=revision.config,
        deployment=_deployment_spec(inputs, colour, revision),
        migration=migration_spec(inputs, revision),
    )


def _deployment_spec(inputs: BuildInput, colour: Colour, revision: RevisionSpec) -> Object:
    """The spec of a colour's Deployment, without replicas: cutover and autoscaler set them by the scale subresource."""
    selector = inputs.names.selector(Component.ENGINE, colour)
    return render(
        "engine/deployment-spec",
        selector=selector,
        colour=colour,
        revision_hash=revision.hash,
        config_name=inputs.names.config(revision.config_hash),
        credentials=revision.credentials,
        resources=revision.resources,
        affinity=revision.affinity,
        topology_spread=counting(revision.topology_spread, selector),
        http_port=HTTP_PORT,
        metrics_port=METRICS_PORT,
        **pod_values(inputs, revision, _labels(inputs, colour, revision.version, revision.hash)),
        **container_values(revision),
    )


def _labels(inputs: BuildInput, colour: Colour, version: str, revision: str) -> dict[str, str]:
    labels = inputs.names.labels(Component.ENGINE, version=version, colour=colour)
    return {**labels, Label.REVISION.value: revision}


def controller_revision(inputs: BuildInput, colour: Colour, record: Record) -> Object:
    """The ControllerRevision that holds the record."""
    return render(
        "engine/controllerrevision",
        name=inputs.names.record(colour, record.revision),
        namespace=inputs.namespace,
        labels=_labels(inputs, colour, record.version, record.revision),
        owners=inputs.owners,
        annotations={DIGEST: record.pin} if record.pin else {},
        data=record.data(),
    )


def _config(inputs: BuildInput, record: Record) -> Object:
    """The ConfigMap of a colour. It is immutable and its name has its hash, so that a rollback finds the old one."""
    return render(
        "engine/configmap",
        name=record.config_name,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE),
        owners=inputs.owners,
        config=dict(record.config),
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


def _disruption_budget(inputs: BuildInput, colour: Colour) -> Object:
    """The budget that lets a drain of nodes evict one pod of the colour at a time, whether it has traffic or not."""
    return render(
        "engine/poddisruptionbudget",
        name=inputs.names.disruption_budget(colour),
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.ENGINE, colour=colour),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.ENGINE, colour),
    )


def _deployment(inputs: BuildInput, colour: Colour, record: Record) -> Object:
    """The Deployment of one colour, as it was recorded; its pods are replaced when their passwords change."""
    template = record.deployment["template"]
    (container,) = template["spec"]["containers"]
    pod = {**template["spec"], "containers": [{**container, "image": record.image}]}
    noted = annotations(template["metadata"].get("annotations", {}), inputs.fingerprints.engine)
    metadata = {**template["metadata"], **({"annotations": noted} if noted else {})}
    return render(
        "engine/deployment",
        name=inputs.names.colour(colour),
        namespace=inputs.namespace,
        labels=_labels(inputs, colour, record.version, record.revision),
        annotations={REFRESH: record.refresh} if record.refresh else {},
        owners=inputs.owners,
        spec={**record.deployment, "template": {**template, "metadata": metadata, "spec": pod}},
    )


def colour_children(inputs: BuildInput, colour: Colour, record: Record) -> list[Object]:
    """The objects of one colour: ControllerRevision first, Deployment last, after all that its pods refer to."""
    return [
        controller_revision(inputs, colour, record),
        _config(inputs, record),
        _service(inputs, colour),
        _disruption_budget(inputs, colour),
        _deployment(inputs, colour, record),
    ]
