"""The engine pods of both colours stay within PostgreSQL's connections, however many each of them may have."""

import re

import pytest
from desired_objects import SMALL, build_input, everything
from rtx_engine import config as engine_config
from rtx_operator.api import sizes
from rtx_operator.api.enums import Environment
from rtx_operator.api.spec import MAX_REPLICAS, Scaling, TradingEngineSpec, engine, trading_engine
from rtx_operator.desired.database import patroni

SUPERUSERS = 3  # PostgreSQL keeps them for superusers (superuser_reserved_connections)
OTHERS = 6  # the operator's reader and mover, of a leader and the one before it, and a migration's two


def connections(pods: int, each: int) -> int:
    """Of the pods of both colours."""
    return 2 * pods * each


def test_pods_leave_connections_for_everybody_else() -> None:
    assert patroni.PARAMETERS["max_connections"] >= trading_engine.DATABASE_CONNECTIONS + SUPERUSERS + OTHERS


def test_default_fits_whatever_the_number_of_pods() -> None:
    default = TradingEngineSpec.model_validate(SMALL).config.database_connections

    assert connections(MAX_REPLICAS, default) <= trading_engine.DATABASE_CONNECTIONS


@pytest.mark.parametrize(("each", "pods"), [(3, 14), (4, 11)])
def test_users_are_told_the_highest_number_of_pods(each: int, pods: int) -> None:
    room = trading_engine.DATABASE_CONNECTIONS

    assert connections(pods, each) <= room < connections(pods + 1, each)
    told = str(engine.EngineConfig.model_fields["database_connections"].description)
    assert re.search(rf"\b{pods} pods (may have )?{each}\b", told)


@pytest.mark.parametrize("environment", [None, *Environment])
def test_rule_knows_the_default_number_of_pods(environment: Environment | None) -> None:
    # CEL has no table of sizes: the rule has their highest number, 20 in Production and 10 elsewhere
    written = 20 if environment is Environment.PRODUCTION else 10

    assert sizes.replica_range(environment, Scaling()).maximum <= written
    assert "'Production' ? 20 : 10" in trading_engine._PODS_BY_DEFAULT


@pytest.mark.parametrize("each", range(engine.MIN_CONNECTIONS, engine.MAX_CONNECTIONS + 1))
def test_engine_gets_what_spec_says_and_honours_it(each: int) -> None:
    objects = everything(build_input({**SMALL, "config": {"databaseConnections": each}}))
    [data] = [thing["data"] for thing in objects if thing["kind"] == "ConfigMap" and "BROKER_NAME" in thing["data"]]

    assert data["DB_CONNECTIONS"] == str(each)
    assert engine_config.MIN_CONNECTIONS <= each <= engine_config.MAX_CONNECTIONS


def test_change_of_the_number_of_pods_asks_for_no_other_revision() -> None:
    # Given an engine, when its pods may become more, then what they are made from stays: scaling is no upgrade
    before, after = (build_input({**SMALL, "scaling": {"maxReplicas": pods}}) for pods in (3, 20))

    [first, second] = [
        [thing for thing in everything(one) if thing["kind"] in {"ConfigMap", "ControllerRevision"}]
        for one in (before, after)
    ]
    assert first == second
