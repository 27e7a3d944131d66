"""What a TradingEngine consists of: a frozen layout in, the objects that should exist out.

Law: pure. A builder reads no cluster, no clock and no randomness, changes none of its input, and returns plain data.
The shape of an object stands in a template, the thought behind its values in Python.
"""

from rtx_operator.api.enums import Colour
from rtx_operator.desired.autoscaling import autoscaler
from rtx_operator.desired.cache import cache
from rtx_operator.desired.credentials import fingerprints, secrets
from rtx_operator.desired.database import database
from rtx_operator.desired.engine import (
    colour_service,
    config,
    controller_revision,
    deployment,
    disruption_budget,
    live_service,
    service_account,
)
from rtx_operator.desired.layout import Fingerprints, Layout
from rtx_operator.desired.migration import migration_job
from rtx_operator.desired.network import cache_policy, database_policy, engine_policy, migration_policy
from rtx_operator.desired.render import Object
from rtx_operator.desired.revision import RevisionSpec, revision_spec

__all__ = [
    "Fingerprints",
    "Layout",
    "Object",
    "RevisionSpec",
    "colour_children",
    "controller_revision",
    "fingerprints",
    "foundation",
    "migration_job",
    "revision_spec",
    "secrets",
    "traffic_children",
]


def foundation(layout: Layout) -> list[Object]:
    """What is there before any engine pod: network rules first, so that nothing ever runs without them."""
    return [
        engine_policy(layout),
        migration_policy(layout),
        database_policy(layout),
        cache_policy(layout),
        service_account(layout),
        *database(layout),
        *cache(layout),
    ]


def colour_children(layout: Layout, colour: Colour, revision: RevisionSpec) -> list[Object]:
    """What belongs to one colour; what its pods refer to comes before them."""
    return [
        controller_revision(layout, revision),
        config(layout, revision),
        colour_service(layout, colour),
        deployment(layout, colour, revision),
    ]


def traffic_children(layout: Layout, active: Colour) -> list[Object]:
    """What directs the traffic to the active colour, and keeps it as large as the traffic needs."""
    scaler = autoscaler(layout, active)
    always = [live_service(layout, active), disruption_budget(layout, active)]
    return [*always, scaler] if scaler else always
