"""PostgreSQL or Redis is killed under load: nothing acknowledged is lost."""

from loads import DATABASE_OUTAGE_ERRORS, assert_kept, assert_nothing_lost
from nodes import replace_pod
from system_fixtures import StartLoad
from upgrades import Upgrades


def test_orders_get_503_and_none_is_lost_without_postgresql(upgrades: Upgrades, start_load: StartLoad) -> None:
    # Given a load.
    with start_load(upgrades.engine) as loaded:
        # When PostgreSQL is killed and is ready again.
        replace_pod(upgrades.engine, "postgres")
        upgrades.engine.wait_until_ready()
        verdict = loaded.verdict()

        # Then requests failed with 503, or were never sent because every connection waited for a 503. Everything
        # acknowledged is in the database once, and WebSockets got every event, some of them late.
        assert any(reason.startswith("status 5xx: 503") for reason in verdict.failures)
        assert [reason for reason in verdict.failures if not reason.startswith(DATABASE_OUTAGE_ERRORS)] == []
        assert_nothing_lost(verdict)


def test_no_request_fails_without_redis(upgrades: Upgrades, start_load: StartLoad) -> None:
    # Given a load.
    with start_load(upgrades.engine) as loaded:
        # When Redis is killed and is ready again.
        replace_pod(upgrades.engine, "redis")
        upgrades.engine.wait_for("CacheAvailable", "CacheReady")

        # Then no request failed, and every event came in time, read from the database.
        assert_kept(loaded.verdict())
