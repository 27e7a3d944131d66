"""What a TradingEngine's spec comes to: the objects wanted, and how the decision tells one from the other. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from rtx_operator.api.enums import Colour
from rtx_operator.observation import Object


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, StatefulSet or Job, and the labels that its pods carry."""

    kind: str
    name: str
    pods: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ColourPlan:
    """A colour and what stands for the shape of its pods."""

    colour: Colour
    version: str
    digest: str | None  # of the image, when spec gives it
    config_hash: str  # names its ConfigMap
    pod_hash: str  # of all that shapes a pod


@dataclass(frozen=True, slots=True)
class Plan:
    """All objects of an engine, in the three groups in which they may come to be.

    `active` is the colour that `colour_objects` and `migration` are of: the one that runs, once one does, otherwise the
    one to install. `wanted_hash` is what spec asks for now.
    """

    active: ColourPlan
    wanted_hash: str
    foundation: tuple[Object, ...]  # database, cache, network, accounts: always there
    migration: tuple[Object, ...]  # the Job that makes the database fit for the colour
    colour_objects: tuple[Object, ...]  # the Deployment and what goes with it: after the migration
    database: Workload
    cache: Workload
    migrator: Workload
    engine: Workload
    live_service: str
    credentials_name: str  # of the user's Secret; empty when the operator made it
    minimum: int
    maximum: int
