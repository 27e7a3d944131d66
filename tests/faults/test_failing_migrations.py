"""A migration fails or waits for a lock: the engine takes orders, and the schema is never half migrated."""

import json

import pytest
from database_sessions import open_transaction
from loads import Load, assert_kept_across_tests, no_request_fails
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.kubectl import KubectlError, Object
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import CutoverPhase, Reason
from upgrades import NEW_VERSION, Upgrades, assert_rejected, assert_succeeded

pytestmark = pytest.mark.usefixtures("module_engine")

SCHEMA_SQL = """
SELECT json_build_object(
    'columns', (SELECT json_agg(concat(table_name, '.', column_name, ' ', data_type) ORDER BY table_name, column_name)
        FROM information_schema.columns WHERE table_schema = 'public'),
    'indexes', (SELECT json_agg(indexdef ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'),
    'applied', (SELECT json_agg(concat(version, half) ORDER BY version, half) FROM schema_migrations));
"""
# Takes the name of an index that a migration of version 1.1.0 creates.
CREATE_CONFLICT_SQL = "CREATE VIEW orders_by_symbol AS SELECT 1 AS one;"
DROP_CONFLICT_SQL = "DROP VIEW orders_by_symbol;"


def schema(engine: Engine) -> Object:
    found: Object = json.loads(database.psql(engine, SCHEMA_SQL))
    return found


def test_a_migration_that_fails_half_way_leaves_the_schema_as_it_was(upgrades: Upgrades, loaded: Load) -> None:
    # Given two migrations, of which the second fails because its index's name is taken.
    database.psql(upgrades.engine, CREATE_CONFLICT_SQL)
    before = schema(upgrades.engine)

    # When the version is bumped.
    # Then the cutover rolls back before the switch, and its message names the cause.
    with no_request_fails(loaded):
        cutover = assert_rejected(upgrades, Reason.MIGRATION_FAILED, version=NEW_VERSION)
    assert "orders_by_symbol" in cutover["message"]

    # Then the first migration is reversed, too.
    assert schema(upgrades.engine) == before
    database.psql(upgrades.engine, DROP_CONFLICT_SQL)


def test_a_migration_that_waits_for_a_lock_holds_up_no_order(upgrades: Upgrades, loaded: Load) -> None:
    # Given an open transaction that holds a lock on table orders.
    with no_request_fails(loaded):
        with open_transaction(upgrades.engine, "LOCK TABLE orders IN ROW EXCLUSIVE MODE;"):
            # When the version is bumped.
            upgrades.begin(NEW_VERSION)
            migrating = upgrades.wait_for_phase(CutoverPhase.MIGRATING)

            # Then its migration retries, and the engine executes orders meanwhile.
            eventually(lambda: migration_waits(upgrades), "a migration that waits for a lock")
            orders = count_orders(upgrades.engine)
            eventually(lambda: count_orders(upgrades.engine) > orders + 100, "100 more orders in the database")
            assert upgrades.cutover()["phase"] == CutoverPhase.MIGRATING

        # When the transaction ends.
        cutover = upgrades.wait_until_over()

    # Then the same cutover succeeds.
    assert cutover["id"] == migrating["id"]
    assert_succeeded(upgrades, cutover)
    assert upgrades.status()["active"]["version"] == NEW_VERSION


def migration_waits(upgrades: Upgrades) -> bool:
    namespace, cutover = upgrades.engine.namespace, upgrades.cutover()["id"]
    jobs = upgrades.kubectl.list("jobs", namespace, f"rtx-trading.com/cutover={cutover}")
    return any("waits for a lock" in logs_of_job(upgrades, job["metadata"]["name"]) for job in jobs)


def logs_of_job(upgrades: Upgrades, name: str) -> str:
    try:
        return upgrades.kubectl.run("logs", f"job/{name}", "--namespace", upgrades.engine.namespace)
    except KubectlError:  # its container has not started yet
        return ""


def count_orders(engine: Engine) -> int:
    return int(database.psql(engine, "SELECT count(*) FROM orders;"))


def test_no_promise_is_broken_over_all_faults(upgrades: Upgrades, loaded: Load) -> None:
    # Given the load that ran through the faults above.
    # When its ledger is compared with the database.
    # Then no request failed, no order was lost or doubled, no event was missed, and only executors executed.
    assert_kept_across_tests(loaded)
