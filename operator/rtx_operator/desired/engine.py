"""The engine: its ServiceAccount, what belongs to one colour, and what directs the traffic to the active one."""

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import HTTP_PORT, METRICS_PORT, SERVICE_PORT, Label
from rtx_operator.desired.layout import Layout
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.revision import RevisionSpec


def service_account(layout: Layout) -> Object:
    """The account that engine pods run as. It has no rights, and its token is not mounted."""
    return render(
        "engine-serviceaccount",
        name=layout.names.engine_account,
        namespace=layout.namespace,
        labels=layout.names.labels(Component.ENGINE),
        owners=layout.owners,
        annotations=dict(layout.spec.service_account.annotations),
    )


def config(layout: Layout, revision: RevisionSpec) -> Object:
    """The configuration of a colour. It is immutable and named by its content, so that going back brings it back."""
    return render(
        "engine-configmap",
        name=layout.names.config(revision.config_hash),
        namespace=layout.namespace,
        labels=layout.names.labels(Component.ENGINE),
        owners=layout.owners,
        config=dict(revision.config),
    )


def controller_revision(layout: Layout, revision: RevisionSpec) -> Object:
    """Records a revision, so that pods which run keep it when the spec already asks for another."""
    return render(
        "engine-controllerrevision",
        name=layout.names.config(revision.hash),
        namespace=layout.namespace,
        labels=layout.names.labels(Component.ENGINE, version=revision.version),
        owners=layout.owners,
        spec=revision.record(),
    )


def colour_service(layout: Layout, colour: Colour) -> Object:
    """Reaches one colour, whether or not it is the active one."""
    return render(
        "engine-service",
        name=layout.names.colour(colour),
        namespace=layout.namespace,
        labels=layout.names.labels(Component.ENGINE, colour=colour),
        owners=layout.owners,
        selector=layout.names.selector(Component.ENGINE, colour),
        sticky=False,
        port=SERVICE_PORT,
    )


def live_service(layout: Layout, colour: Colour) -> Object:
    """Where clients connect: reaches the active colour."""
    return render(
        "engine-service",
        name=layout.names.live_service,
        namespace=layout.namespace,
        labels=layout.names.labels(Component.ENGINE),
        owners=layout.owners,
        selector=layout.names.selector(Component.ENGINE, colour),
        sticky=True,
        port=SERVICE_PORT,
    )


def deployment(layout: Layout, colour: Colour, revision: RevisionSpec) -> Object:
    """The pods of one colour, without their number."""
    return render(
        "engine-deployment",
        name=layout.names.colour(colour),
        namespace=layout.namespace,
        labels={
            **layout.names.labels(Component.ENGINE, version=revision.version, colour=colour),
            Label.REVISION.value: revision.hash,
        },
        owners=layout.owners,
        selector=layout.names.selector(Component.ENGINE, colour),
        colour=colour,
        account=layout.names.engine_account,
        config_name=layout.names.config(revision.config_hash),
        internal=layout.names.internal,
        fingerprint=layout.fingerprints.engine,
        http_port=HTTP_PORT,
        metrics_port=METRICS_PORT,
        **revision.record(),
    )


def disruption_budget(layout: Layout, colour: Colour) -> Object:
    """Drains of nodes take the active colour's pods one at a time."""
    return render(
        "engine-poddisruptionbudget",
        name=layout.names.disruption_budget,
        namespace=layout.namespace,
        labels=layout.names.labels(Component.ENGINE),
        owners=layout.owners,
        selector=layout.names.selector(Component.ENGINE, colour),
    )
