"""A migration that cannot be carried out, or has to wait: orders flow, and the schema is whole."""

import json

import pytest
from database_sessions import session
from loads import Load, assert_kept_over_all, nothing_fails
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.kubectl import KubectlError, Object
from rtx_demo.waiting import eventually
from upgrades import NEW, Upgrades, assert_rejected, assert_succeeded

pytestmark = pytest.mark.usefixtures("engine_of_the_module")

SCHEMA = """
SELECT json_build_object(
    'columns', (SELECT json_agg(concat(table_name, '.', column_name, ' ', data_type) ORDER BY table_name, column_name)
        FROM information_schema.columns WHERE table_schema = 'public'),
    'indexes', (SELECT json_agg(indexdef ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'),
    'applied', (SELECT json_agg(concat(version, half) ORDER BY version, half) FROM schema_migrations));
"""
IN_THE_WAY = "CREATE VIEW orders_by_symbol AS SELECT 1 AS one;"  # the name of an index that version 1.1.0 makes


def schema(engine: Engine) -> Object:
    found: Object = json.loads(database.psql(engine, SCHEMA))
    return found


def test_a_migration_that_fails_half_way_leaves_the_schema_as_it_was(upgrades: Upgrades, loaded: Load) -> None:
    # given that the second of two migrations cannot be carried out, because its index's name is taken
    database.psql(upgrades.engine, IN_THE_WAY)
    before = schema(upgrades.engine)

    # when the version is bumped, then it goes back before anything has moved, and says why
    with nothing_fails(loaded):
        cutover = assert_rejected(upgrades, "MigrationFailed", version=NEW)
    assert "orders_by_symbol" in cutover["message"]

    # and the first migration is taken back, too
    assert schema(upgrades.engine) == before
    database.psql(upgrades.engine, "DROP VIEW orders_by_symbol;")


def test_a_migration_that_waits_for_a_lock_holds_up_no_order(upgrades: Upgrades, loaded: Load) -> None:
    # given a transaction that has written orders and does not end
    with nothing_fails(loaded):
        with session(upgrades.engine, "LOCK TABLE orders IN ROW EXCLUSIVE MODE;"):
            # when the version is bumped, then its migration tries again and again, and orders flow in between
            upgrades.begin(NEW)
            migrating = upgrades.wait_for("Migrating")
            eventually(lambda: migration_waits(upgrades), "a migration that waits for a lock")
            orders = count_of_orders(upgrades.engine)
            eventually(lambda: count_of_orders(upgrades.engine) > orders + 100, "orders that flow")
            assert upgrades.cutover()["phase"] == "Migrating"

        # and when the transaction ends, it is carried out
        cutover = upgrades.wait_until_over()
    assert cutover["id"] == migrating["id"]
    assert_succeeded(upgrades, cutover)
    assert upgrades.status()["active"]["version"] == NEW


def migration_waits(upgrades: Upgrades) -> bool:
    namespace, cutover = upgrades.engine.namespace, upgrades.cutover()["id"]
    jobs = upgrades.kubectl.list("jobs", namespace, f"rtx-trading.com/cutover={cutover}")
    return any("waits for a lock" in logs_of_job(upgrades, job["metadata"]["name"]) for job in jobs)


def logs_of_job(upgrades: Upgrades, name: str) -> str:
    try:
        return upgrades.kubectl.run("logs", f"job/{name}", "--namespace", upgrades.engine.namespace)
    except KubectlError:  # its container does not run yet
        return ""


def count_of_orders(engine: Engine) -> int:
    return int(database.psql(engine, "SELECT count(*) FROM orders;"))


def test_over_all_of_it_nothing_was_lost(upgrades: Upgrades, loaded: Load) -> None:
    # given the one load that went through the faults above, when its ledger is compared with the database
    # then no request failed, no order was lost or doubled, no event missed, and only executors executed
    assert_kept_over_all(loaded)
