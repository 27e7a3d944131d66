"""A database and a cache without objects, for tests of decisions that do not change them."""

from rtx_operator.api.enums import Component, ServerComponent
from rtx_operator.api.status import Asked, Server
from rtx_operator.desired.servers import SERVERS
from rtx_operator.desired.state import DesiredServer, Workload

ASKED = Asked(spec="a1")
MADE = {component: Server(revision="s1", image="example.com/server", asked=ASKED) for component in SERVERS}
NAMES = {Component.DATABASE: "rtx-postgres", Component.CACHE: "rtx-redis"}


def desired_server(component: ServerComponent) -> DesiredServer:
    return DesiredServer(
        component=component,
        workload=Workload("StatefulSet", NAMES[component], {"component": component}),
        size=1,
        claims=(f"data-{NAMES[component]}-0",),
        revision="s1",
        image="example.com/server",
        first_asked=ASKED.spec,
        asked=ASKED,
        wanted="s1",
        credentials_known=True,
        started=None,
        standbys=(),
        has_password=True,
        has_credentials=True,
        password_conflict="",
        kept=(),
        strays=(),
        renewed=(),
        renewed_revision="s1",
        renewed_image="example.com/server",
        checks=(),
    )


DESIRED_SERVERS = {component: desired_server(component) for component in SERVERS}
