"""Migrations of a database with many accounts: each reads rows in proportion to them, whatever the planner knows.

What is counted is the rows of every plan, those of triggers included, not time. A plan that joins all accounts with all
accounts is quick in a test, and takes minutes where there are thousands.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from engine_postgres import TestDatabase
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_files import Half, load
from rtx_engine.store.migration_waits import SessionWatch

FEW, MANY = 400, 1600  # accounts; small enough that the planner takes the tables that 0006 makes for larger ones
UNEVEN = 1.5  # how much more rows for each account MANY may take than FEW, such as a page's more
CONSTANT = 2000  # rows of catalogs and of one-row plans, whatever the accounts

# What the first release has written for accounts number $1 to $2: ten orders each, and two positions.
OF_BEFORE = (
    "INSERT INTO accounts (username, password_hash, currency, balance, leverage, event_sequence)"
    " SELECT 'user-' || n, 'hash-' || n, 'USD', 10000, 100, 10 FROM generate_series($1::int, $2::int) AS n",
    "INSERT INTO orders (id, account_id, client_order_id, symbol, side, order_type, quantity, status, price, realised,"
    " sequence, epoch, colour, executed_at)"
    " SELECT gen_random_uuid(), n, 'order-' || s, 'EURUSD', 'buy', 'market', 0.01, 'filled', 1.1, 0, s, 1, 'blue',"
    " now() FROM generate_series($1::int, $2::int) AS n, generate_series(1, 10) AS s",
    "INSERT INTO positions (account_id, symbol, quantity, average_price)"
    " SELECT n, symbol, 0.05, 1.1 FROM generate_series($1::int, $2::int) AS n,"
    " unnest(ARRAY['EURUSD', 'GBPUSD']) AS symbol",
)
# Each plan that a session runs, also those within functions, as a notice to its client.
TELL_PLANS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_level": "notice",
    "auto_explain.log_format": "json",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
}


async def trade(database: TestDatabase, first: int, last: int) -> None:
    for sql in OF_BEFORE:
        await database.execute(sql, first, last, user="rtx_migrator")


async def of_first_release(database: TestDatabase, accounts: int, analysed: int) -> None:
    """A database of the first release, whose statistics are of its first accounts (0: it has none)."""
    async with Migrator.connected(database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=1)
    await trade(database, 1, max(1, analysed))
    if analysed:
        await database.execute("VACUUM ANALYZE")
    await trade(database, max(1, analysed) + 1, accounts)


async def rows_of_migrations(database: TestDatabase) -> Counter[str]:
    """The rows that each statement reads, by its text, in an upgrade to this release and all the way back."""
    for name, value in TELL_PLANS.items():
        await database.execute(f"ALTER DATABASE \"{database.name}\" SET {name} = '{value}'")
    connection = await database.connect("rtx_migrator")
    found: Counter[str] = Counter()

    def count(_: object, notice: Any) -> None:
        _, told, plan = notice.message.partition("plan:\n")
        if told:
            explained = json.loads(plan)
            found[explained["Query Text"]] += sum(rows(explained["Plan"]))

    connection.add_log_listener(count)
    migrator = Migrator(connection, SessionWatch(), load())
    try:
        await migrator.up()
        await migrator.down(to=1)
    finally:
        await connection.close()
    return found


def rows(plan: dict[str, Any]) -> Iterator[float]:
    """The rows that a node of a plan, and each below it, returned or looked at and left out."""
    yield plan["Actual Loops"] * sum(
        value for key, value in plan.items() if key == "Actual Rows" or key.startswith("Rows Removed by")
    )
    for below in plan.get("Plans", ()):
        yield from rows(below)


@pytest.mark.parametrize("statistics", ["none", "of one account", "of all accounts"])
async def test_migrations_read_rows_in_proportion_to_accounts(fenced_database, other_fenced_database, statistics):
    # given two databases of the first release, of which one has four times the accounts
    of_few, of_many = fenced_database, other_fenced_database
    analysed = {"none": 0, "of one account": 1}
    await of_first_release(of_few, FEW, analysed.get(statistics, FEW))
    await of_first_release(of_many, MANY, analysed.get(statistics, MANY))

    # when both are upgraded and taken back
    few, many = await rows_of_migrations(of_few), await rows_of_migrations(of_many)

    # then no statement takes more than four times the rows
    bounds = {sql: CONSTANT + UNEVEN * count * MANY / FEW for sql, count in few.items()}
    assert {sql: count for sql, count in many.items() if count > bounds.get(sql, CONSTANT)} == {}
    # and they were those of all accounts
    assert sum(count >= MANY for count in many.values()) >= 3


async def test_accounts_of_before_get_their_users_while_each_is_locked(fenced_database):
    # given a database of the first release, of whose accounts each one has an order under way
    await of_first_release(fenced_database, FEW, analysed=1)
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=6, half=Half.EXPAND)
        orders = await fenced_database.connect("rtx_migrator")
        await orders.execute("BEGIN; SELECT FROM accounts FOR UPDATE")

        await migrator.up(half=Half.EXPAND)

        await orders.close()
    # then each account has the user that its own row names
    logins = await fenced_database.execute(
        "SELECT user_accounts.account_id, users.username, users.password_hash FROM user_accounts"
        " JOIN users ON users.id = user_accounts.user_id ORDER BY 1"
    )
    assert [tuple(row) for row in logins] == [(n, f"user-{n}", f"hash-{n}") for n in range(1, FEW + 1)]
