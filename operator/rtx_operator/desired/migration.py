"""The Job that makes the database fit for a shape of pods."""

from rtx_operator.api.enums import Component
from rtx_operator.desired.layout import Layout
from rtx_operator.desired.render import Object, digest, render
from rtx_operator.desired.shape import PodShape


def migration_job(layout: Layout, shape: PodShape) -> Object:
    """Runs the expand half of the migrations that the shape's image brings.

    A Job cannot be changed, so its name stands for its whole content.
    """
    job = render(
        "migration-job",
        name="",
        namespace=layout.namespace,
        labels=layout.names.labels(Component.MIGRATION, version=shape.version),
        owners=layout.owners,
        account=layout.names.engine_account,
        internal=layout.names.internal,
        **shape.record(),
    )
    job["metadata"]["name"] = layout.names.migration(digest(job["spec"]))
    return job
