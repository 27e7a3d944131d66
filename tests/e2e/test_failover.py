"""The primary of three PostgreSQL servers dies under load: the part of tests/faults that `make test` runs."""

from collections.abc import Iterator

import pytest
from loads import DATABASE_OUTAGE_ERRORS, assert_nothing_lost
from rtx_demo import failovers, members
from rtx_demo.engine import Engine
from rtx_demo.sample import Sample
from system_fixtures import StartLoad
from upgrades import upgradable

INSTANCES = 3


@pytest.fixture(scope="module")
def replicated_engine(sample: Sample) -> Iterator[Engine]:
    """An engine whose database has a primary and two standbys that follow it."""
    with upgradable(sample, database={"instances": INSTANCES}) as engine:
        members.wait_until_formed(engine, INSTANCES)
        yield engine


def test_a_standby_takes_over_from_a_primary_whose_pod_is_gone(
    replicated_engine: Engine, start_load: StartLoad
) -> None:
    # Given a load on an engine with three database servers.
    with start_load(replicated_engine) as loaded:
        # When the primary's pod is deleted without a grace period, and the three servers are together again.
        before = failovers.delete_pod(replicated_engine)
        failovers.wait_for_other(replicated_engine, before)
        members.wait_until_formed(replicated_engine, INSTANCES)
        replicated_engine.wait_until_ready()
        verdict = loaded.verdict()

    # Then orders were refused with 503 meanwhile, and what was acknowledged is in the new primary's database, once.
    assert_nothing_lost(verdict)
    assert [reason for reason in verdict.failures if not reason.startswith(DATABASE_OUTAGE_ERRORS)] == []
