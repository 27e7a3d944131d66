"""What the journal and its copies in account_events are told as: each number of an account once, in order."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from engine_ledger import unbalanced
from rtx_engine.domain.events import EventKind, message
from rtx_engine.store import reader
from test_store_journal import EXECUTOR, transfer

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"


async def test_entries_reach_streams_as_they_are_read(pod):
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one")
    await pod.store.journal.enter(transfer(account_id, "bank-1", "5000.00"))
    await pod.place(account_id, "two")

    stored = await pod.store.reader.events_since(account_id, 0)

    assert [(event.sequence, event.kind) for event in stored] == [
        (1, EventKind.ORDER),
        (2, EventKind.DEPOSIT),
        (3, EventKind.ORDER),
    ]
    assert pod.events[1] == stored[1]
    assert bytes(stored[1].payload).startswith(
        b'{"id":"bank-1","kind":"deposit","amount":"5000.00","balance":"15000.00","reason":"test","posted_at":"'
    )
    assert [event.sequence for event in await pod.store.reader.events_since(account_id, 1, limit=1)] == [2]


async def test_adjustment_by_the_runbooks_statements_is_told_like_an_entry(pod, database):
    # given an account that has traded
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one")

    # when a person adjusts its balance as the runbook says, twice
    statements = RUNBOOK.read_text().partition("## Adjust a balance by hand")[2].partition("```sql\n")[2]
    for _ in range(2):
        session = await database.connect("postgres")
        async with session.transaction():
            await session.execute(statements.partition("```")[0])
        await session.close()

    # then it has happened once, the rows add up, its pod goes on from there, and the copy says the same as the entry
    await pod.place(account_id, "three")
    assert await unbalanced(database) == []
    told = json.loads(message((await pod.store.reader.events_since(account_id, 1, limit=1))[0]))
    assert (told["type"], told["sequence"], told["amount"], told["balance"]) == ("adjustment", 2, "5.00", "10005.00")
    session = await database.connect("postgres", **EXECUTOR)
    await session.execute("DELETE FROM journal WHERE account_id = $1 AND sequence = 2", account_id)
    await session.close()
    later = json.loads(message((await pod.store.reader.events_since(account_id, 1, limit=1))[0]))
    assert later | {"posted_at": None} == told | {"posted_at": None}


async def test_pages_skip_nothing_when_a_week_of_the_journal_has_left(pod, database):
    # given deposits and orders, and a first week that has been dropped with its entries
    account_id = await pod.open_account("ada")
    await pod.store.journal.enter(transfer(account_id, "bank-1", "5.00"))
    await pod.store.journal.enter(transfer(account_id, "bank-2", "5.00"))
    await pod.place(account_id, "three")
    await pod.place(account_id, "four")
    await pod.store.journal.enter(transfer(account_id, "bank-5", "5.00"))
    told = await pod.store.reader.events_since(account_id, 0)
    session = await database.connect("postgres", **EXECUTOR)
    await session.execute("DELETE FROM journal WHERE account_id = $1 AND sequence < 3", account_id)
    await session.close()

    # when a client pages through its events
    seen = [await pod.store.reader.events_since(account_id, since, 2) for since in (0, 2, 4, 5)]

    # then it gets what it got before
    assert [[event.sequence for event in page] for page in seen] == [[1, 2], [3, 4], [5], []]
    for before, after in zip(told, chain(*seen), strict=True):
        assert (after.kind, after.at) == (before.kind, before.at)
        assert json.loads(message(after)) == json.loads(message(before))


@pytest.mark.parametrize(
    ("copy", "kind"),
    [
        ('{"type": "deposit", "amount": "5.00", "sequence": 7}', "deposit"),
        ('{"type": "correction", "amount": "5.00"}', "adjustment"),
        ('{"type": "adjustment", "order_id": "0190b1f2-0000-7000-8000-000000000000"}', "adjustment"),
        ('{"type": 4}', "adjustment"),
        ("{}", "adjustment"),
        ('["order_id", "type"]', "adjustment"),
        ('"see ticket 12"', "adjustment"),
        ("null", "adjustment"),
    ],
)
async def test_copy_that_a_person_entered_is_told_as_json_and_hides_nothing(pod, database, copy, kind):
    # given an adjustment by hand, before an order
    account_id = await pod.open_account("ada")
    session = await database.connect("postgres", **EXECUTOR)
    async with session.transaction():
        await session.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", account_id)
        await session.execute(
            "INSERT INTO journal (account_id, sequence, at, kind, amount, balance, reason, author)"
            " VALUES ($1, 1, now(), 4, 500, 1000500, 'goodwill', 'ops')",
            account_id,
        )
        await session.execute(
            "INSERT INTO account_events (account_id, sequence, kind, payload, at) VALUES ($1, 1, 'order', $2, now())",
            account_id,
            copy,
        )
        await session.execute("UPDATE accounts SET balance = balance + 5, event_sequence = 1 WHERE id = $1", account_id)
    await pod.place(account_id, "two")

    # when its week has left
    await session.execute("DELETE FROM journal WHERE account_id = $1 AND sequence = 1", account_id)
    await session.close()

    # then both are messages with their numbers
    told = [json.loads(message(event)) for event in await pod.store.reader.events_since(account_id, 0)]
    assert [(one["type"], one["sequence"]) for one in told] == [(kind, 1), ("order", 2)]


def rows_read(plan: dict[str, Any]) -> int:
    """The most rows that any part of the plan has read."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    return max(own, *(rows_read(part) for part in plan.get("Plans", [])), 0)


async def test_a_page_of_events_reads_no_more_than_two_pages(database):
    # given an account with a long history, a tenth of it in the journal
    history = await database.connect("postgres")
    await history.execute("SET session_replication_role = replica")
    await history.execute(
        "INSERT INTO account_events SELECT 1, n, 'order', '{}', now() FROM generate_series(1, 5000) n WHERE n % 10 <> 0"
    )
    await history.execute(
        "INSERT INTO journal (account_id, sequence, at, amount, balance, kind, reason, author)"
        " SELECT 1, n, now(), 1, 1, 2, 'test', 'admin' FROM generate_series(10, 5000, 10) n"
    )
    await history.execute("ANALYZE")
    await history.close()
    session = await database.connect("rtx_engine", enable_seqscan="off", plan_cache_mode="force_generic_plan")

    plan = await session.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {reader._EVENTS}", 1, 100, 50)

    await session.close()
    assert rows_read(json.loads(plan)[0]["Plan"]) <= 100


async def test_a_page_of_entries_reads_no_more_than_two_pages(database):
    # given an account whose money moves and that does not trade: each entry has its copy for the release before
    history = await database.connect("postgres")
    await history.execute("SET session_replication_role = replica")
    await history.execute(
        "INSERT INTO account_events"
        " SELECT 1, n, 'order', '{\"type\": \"deposit\"}', now() FROM generate_series(1, 5000) n"
    )
    await history.execute(
        "INSERT INTO journal (account_id, sequence, at, amount, balance, kind, reason, author)"
        " SELECT 1, n, now(), 1, 1, 2, 'test', 'admin' FROM generate_series(1, 5000) n"
    )
    await history.execute("ANALYZE")
    await history.close()
    session = await database.connect("rtx_engine", enable_seqscan="off", plan_cache_mode="force_generic_plan")

    plan = await session.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {reader._EVENTS}", 1, 100, 50)
    page = await session.fetch(reader._EVENTS, 1, 100, 50)

    await session.close()
    assert rows_read(json.loads(plan)[0]["Plan"]) <= 100
    assert [row["sequence"] for row in page] == list(range(101, 151))
