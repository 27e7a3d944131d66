"""The Job that migrates the database's schema."""

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Label
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, digest, render
from rtx_operator.desired.revision import RevisionSpec


def migration_job(inputs: BuildInput, revision: RevisionSpec, *arguments: str, cutover: str = "") -> Object:
    """The Job that runs `rtx-engine migrate` of the revision's image with `arguments`.

    `cutover` is the id of the cutover that needs it; empty outside of a cutover. A Job cannot be changed, so its name
    has the hash of its content.
    """
    job = render(
        "engine/migration-job",
        name="",
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.MIGRATION, version=revision.version),
        owners=inputs.owners,
        account=inputs.names.engine_account,
        internal=inputs.names.internal,
        arguments=["migrate", *arguments, *(["--cutover", cutover] if cutover else [])],
        **revision.record(),
    )
    if cutover:
        job["metadata"]["labels"][Label.CUTOVER.value] = cutover
    job["metadata"]["name"] = inputs.names.migration(digest(job["spec"]))
    return job
