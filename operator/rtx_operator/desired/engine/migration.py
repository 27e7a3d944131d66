"""The Job that migrates the database's schema."""

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Label
from rtx_operator.api.sizes import migration_resources
from rtx_operator.desired.engine.pods import pod_values
from rtx_operator.desired.image import with_digest
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.record import Record
from rtx_operator.desired.render import Object, digest, render
from rtx_operator.desired.revision import RevisionSpec


def migration_spec(inputs: BuildInput, revision: RevisionSpec) -> Object:
    """The spec of the revision's migration Jobs, without arguments, resources and time limit."""
    labels = inputs.names.labels(Component.MIGRATION, version=revision.version)
    return render("engine/migration-job-spec", config=dict(revision.config), **pod_values(inputs, revision, labels))


def migration_job(inputs: BuildInput, record: Record, *arguments: str, cutover: str = "") -> Object:
    """The Job that runs `rtx-engine migrate` of the recorded image with `arguments`.

    `cutover` is the id of the cutover that needs it; empty outside of a cutover. A Job's pods cannot be changed, so its
    name has the hash of its content; a new time limit changes the Job that runs.
    """
    rollout, labels = inputs.spec.rollout, inputs.names.labels(Component.MIGRATION, version=record.version)
    spec = _completed(inputs, record, ["migrate", *arguments, *(["--cutover", cutover] if cutover else [])])
    return render(
        "engine/migration-job",
        name=inputs.names.migration(digest(spec)),
        namespace=inputs.namespace,
        labels={**labels, Label.CUTOVER.value: cutover} if cutover else labels,
        owners=inputs.owners,
        # The pull of the image counts.
        spec={**spec, "activeDeadlineSeconds": int(rollout.migration_timeout.total_seconds())},
    )


def _completed(inputs: BuildInput, record: Record, arguments: list[str]) -> Object:
    """The recorded spec with the arguments, and the resources that spec asks for now."""
    template = record.migration["template"]
    (container,) = template["spec"]["containers"]
    resources = migration_resources(inputs.spec.rollout.migration_resources).model_dump(mode="json", exclude_none=True)
    image = with_digest(container["image"], record.pin)
    containers = [{**container, "image": image, "args": arguments, "resources": resources}]
    return {**record.migration, "template": {**template, "spec": {**template["spec"], "containers": containers}}}
