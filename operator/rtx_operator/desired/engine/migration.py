"""The Job that migrates the database's schema."""

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Label
from rtx_operator.api.sizes import migration_resources
from rtx_operator.desired.engine.pods import pod_values
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, digest, render
from rtx_operator.desired.revision import RevisionSpec


def migration_job(inputs: BuildInput, revision: RevisionSpec, *arguments: str, cutover: str = "") -> Object:
    """The Job that runs `rtx-engine migrate` of the revision's image with `arguments`.

    `cutover` is the id of the cutover that needs it; empty outside of a cutover. A Job's pods cannot be changed, so its
    name has the hash of its content; a new time limit changes the Job that runs.
    """
    rollout, labels = inputs.spec.rollout, inputs.names.labels(Component.MIGRATION, version=revision.version)
    job = render(
        "engine/migration-job",
        name="",
        namespace=inputs.namespace,
        labels=labels,
        owners=inputs.owners,
        arguments=["migrate", *arguments, *(["--cutover", cutover] if cutover else [])],
        timeout_seconds=int(rollout.migration_timeout.total_seconds()),
        resources=migration_resources(rollout.migration_resources).model_dump(mode="json", exclude_none=True),
        config=dict(revision.config),
        **pod_values(inputs, revision, labels, ""),
    )
    if cutover:
        job["metadata"]["labels"][Label.CUTOVER.value] = cutover
    fixed = {name: value for name, value in job["spec"].items() if name != "activeDeadlineSeconds"}
    job["metadata"]["name"] = inputs.names.migration(digest(fixed))
    return job
