"""What a TradingEngine consists of: a frozen BuildInput in, the objects that should exist out.

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
from rtx_operator.desired.inputs import BuildInput, Fingerprints
from rtx_operator.desired.migration import migration_job
from rtx_operator.desired.network import cache_policy, database_policy, engine_policy, migration_policy
from rtx_operator.desired.render import Object
from rtx_operator.desired.revision import RevisionSpec, revision_spec

__all__ = [
    "BuildInput",
    "Fingerprints",
    "Object",
    "RevisionSpec",
    "base_objects",
    "colour_children",
    "controller_revision",
    "fingerprints",
    "migration_job",
    "revision_spec",
    "secrets",
    "traffic_children",
]


def base_objects(inputs: BuildInput) -> list[Object]:
    """What is there before any engine pod: network rules first, so that nothing ever runs without them."""
    return [
        engine_policy(inputs),
        migration_policy(inputs),
        database_policy(inputs),
        cache_policy(inputs),
        service_account(inputs),
        *database(inputs),
        *cache(inputs),
    ]


def colour_children(inputs: BuildInput, colour: Colour, revision: RevisionSpec) -> list[Object]:
    """What belongs to one colour; what its pods refer to comes before them."""
    return [
        controller_revision(inputs, revision),
        config(inputs, revision),
        colour_service(inputs, colour),
        deployment(inputs, colour, revision),
    ]


def traffic_children(inputs: BuildInput, active: Colour) -> list[Object]:
    """What directs the traffic to the active colour, and keeps it as large as the traffic needs."""
    scaler = autoscaler(inputs, active)
    always = [live_service(inputs, active), disruption_budget(inputs, active)]
    return [*always, scaler] if scaler else always
