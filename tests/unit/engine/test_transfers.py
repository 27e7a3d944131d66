"""Deposits and withdrawals over HTTP: for the administrator only, each once, also across the colours."""

import re
from typing import Any

import pytest
from engine_traders import Trader, knows

DEPOSIT = {"id": "bank-1", "amount": "250.00", "reason": "bank transfer"}


def path(account_id: int, what: str = "deposits") -> str:
    return f"/api/admin/accounts/{account_id}/{what}"


@pytest.fixture
async def admin(shared_engines: Any, anybody: Trader) -> Trader:
    return await anybody.log_in(shared_engines.running[0], "admin", "admin-password")


async def open_account(admin: Trader, engine: Any, username: str) -> int:
    account = {"username": username, "password": "password", "balance": "100.00", "leverage": 100}
    got = await admin.call(engine, "POST", "/api/admin/accounts", account)
    assert got.status == 201, got
    return int(got.body["account_id"])


async def test_deposit_and_withdrawal_answer_with_their_entries(shared_engines, anybody, admin):
    engine = shared_engines.running[0]
    account_id = await open_account(admin, engine, "depositor")

    first = await admin.call(engine, "POST", path(account_id), DEPOSIT)
    again = await admin.call(engine, "POST", path(account_id), DEPOSIT)
    taken = await admin.call(engine, "POST", path(account_id, "withdrawals"), DEPOSIT | {"id": "2", "amount": "0.01"})

    posted_at = first.body.pop("posted_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", posted_at)
    assert (first.status, first.body) == (
        201,
        {
            "id": "bank-1",
            "kind": "deposit",
            "amount": "250.00",
            "balance": "350.00",
            "reason": "bank transfer",
            "sequence": 1,
        },
    )
    assert (again.status, again.body) == (200, {**first.body, "posted_at": posted_at})
    assert (taken.status, taken.body["amount"], taken.body["balance"]) == (201, "-0.01", "349.99")
    trader = await anybody.log_in(engine, "depositor", "password")
    seen = await trader.call(engine, "GET", "/api/account")
    assert (seen.body["balance"], seen.body["sequence"]) == ("349.99", 2)


async def test_faults_of_a_transfer_are_told_in_a_sentence(shared_engines, anybody, admin):
    engine = shared_engines.running[0]
    account_id = await open_account(admin, engine, "poor")
    await admin.call(engine, "POST", path(account_id), DEPOSIT)
    trader = await anybody.log_in(engine, "poor", "password")

    async def refusal(who: Trader, where: str, **changes: str) -> tuple[int, str, str]:
        got = await who.call(engine, "POST", where, DEPOSIT | changes)
        return got.status, got.body["error"]["reason"], got.body["error"]["message"]

    assert await refusal(anybody, path(account_id)) == (
        401,
        "Unauthorized",
        "The Authorization header is missing: send 'Bearer' and a token from POST /api/login.",
    )
    assert (await refusal(trader, path(account_id)))[:2] == (403, "Forbidden")
    assert await refusal(admin, path(99999999)) == (404, "UnknownAccount", "Account 99999999 does not exist.")
    assert await refusal(admin, path(account_id), amount="250.01") == (
        409,
        "Conflict",
        "Id 'bank-1' belongs to another entry of this account; use a new one.",
    )
    assert await refusal(admin, path(account_id, "withdrawals"), id="2", amount="350.01") == (
        422,
        "InsufficientFunds",
        "The balance, or the margin that no open position needs, is smaller than the amount: withdraw less.",
    )
    assert await refusal(admin, path(account_id), id="2", amount="999999999999.99") == (
        422,
        "BalanceTooLarge",
        "The balance would not be below 1,000,000,000,000: deposit less.",
    )
    assert await refusal(admin, path(account_id), amount="0.00") == (400, "BadRequest", "amount must be more than 0.")
    assert await refusal(admin, path(account_id), reason=" ") == (
        400,
        "BadRequest",
        "reason must be 1 to 200 printable characters.",
    )


async def test_transfer_at_the_idle_colour_is_entered_once_by_the_other(colours, engines, anybody):
    # given an account, and an idle colour that is asked before and after a move of the fence
    admin = await anybody.log_in(colours.blue, "admin", "admin-password")
    account_id = await open_account(admin, colours.blue, "mover")
    at_idle = await admin.call(colours.green, "POST", path(account_id), DEPOSIT)
    epoch = await engines.database.move_fence("green")
    for engine in (colours.blue, colours.green):
        await knows(anybody, engine, epoch)
    at_former = await admin.call(colours.blue, "POST", path(account_id), DEPOSIT)
    more = await admin.call(colours.blue, "POST", path(account_id), DEPOSIT | {"id": "bank-2"})

    # then each id was entered once, by the colour that executed
    assert [at_idle.status, at_former.status, more.status] == [201, 200, 201]
    assert at_former.body == at_idle.body
    rows = await engines.database.execute("SELECT sequence, colour, balance FROM journal ORDER BY 1")
    assert [tuple(row) for row in rows] == [(0, "blue", 10000), (1, "blue", 35000), (2, "green", 60000)]
