"""The database away, Redis away, under load: what is documented happens, and nothing acknowledged is lost."""

from loads import DATABASE_AWAY, assert_kept, assert_nothing_lost
from nodes import replace_pod
from system_fixtures import StartLoad
from upgrades import Upgrades


def test_without_the_database_orders_are_refused_and_none_is_lost(upgrades: Upgrades, start_load: StartLoad) -> None:
    # given a load, when PostgreSQL is killed and comes back
    with start_load(upgrades.engine) as loaded:
        replace_pod(upgrades.engine, "postgres")
        upgrades.engine.wait_until_ready()
        verdict = loaded.verdict()

        # then what failed was told so by a 503 (or found every connection busy with waiting for one, and was never
        # sent), and everything acknowledged is there, once; no WebSocket missed an event: some came late
        assert any(reason.startswith("status 5xx: 503") for reason in verdict.failures)
        assert [reason for reason in verdict.failures if not reason.startswith(DATABASE_AWAY)] == []
        assert_nothing_lost(verdict)


def test_without_redis_nothing_fails(upgrades: Upgrades, start_load: StartLoad) -> None:
    # given a load, when Redis is killed and comes back
    with start_load(upgrades.engine) as loaded:
        replace_pod(upgrades.engine, "redis")
        upgrades.engine.wait_until_ready()

        # then nothing failed and every event came in time, by way of the database
        assert_kept(loaded.verdict())
