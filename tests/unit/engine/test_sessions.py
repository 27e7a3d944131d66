"""Logins, refresh tokens, and what ends them, at real server processes on a real PostgreSQL."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio
from engine_traders import Trader

SECRET = "a secret of the tests, long enough for HS256"
ENGINE = "tests/"  # as the fence of the tests names its owner
TIMEOUT_SECONDS = 20.0
SESSION = {"account_id", "token", "expires_at", "refresh_token", "refresh_expires_at"}


@dataclass
class Alice:
    """A trader with all that a login gives."""

    trader: Trader
    username: str
    account_id: int
    refresh_token: str
    token: str


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture(scope="module")
def engine(shared_engines: Any) -> Any:
    return shared_engines.running[0]


@pytest_asyncio.fixture
async def alice(session: aiohttp.ClientSession, engine: Any) -> Alice:
    username = f"alice {secrets.token_hex(4)}"
    trader = await Trader(session).open(engine, username)
    login = await log_in(session, engine, username)
    return Alice(trader, username, login["account_id"], login["refresh_token"], login["token"])


async def log_in(
    session: aiohttp.ClientSession,
    engine: Any,
    username: str,
    password: str = "password",  # noqa: S107
) -> dict[str, Any]:
    got = await Trader(session).call(engine, "POST", "/api/login", {"username": username, "password": password})
    assert got.status == 200, got
    assert set(got.body) == SESSION
    return dict(got.body)


async def admin_of(session: aiohttp.ClientSession, engine: Any) -> Trader:
    return await Trader(session).log_in(engine, "admin", "admin-password")


def bearer(session: aiohttp.ClientSession, token: str) -> Trader:
    return Trader(session, {"authorization": f"Bearer {token}"})


@contextlib.asynccontextmanager
async def as_before(database: Any) -> AsyncIterator[Any]:
    """A session that writes what another server, or another time, has left in the database."""
    session = await database.connect("postgres")
    try:
        await session.execute("SET session_replication_role = replica")
        yield session
    finally:
        await session.close()


async def is_refused(trader: Trader, engine: Any) -> None:
    """Wait until the trader's token does not count any more: a pod learns of it within a second or two."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (got := await trader.call(engine, "GET", "/api/account")).status != 401:  # noqa: ASYNC110  # of a process
            await asyncio.sleep(0.1)
    assert "log in again" in got.body["error"]["message"]


async def test_refresh_token_gets_another_token_as_often_as_asked(alice: Alice, engine: Any) -> None:
    session = alice.trader.session
    for _ in range(3):  # a client whose answer was lost asks again
        body = {"refresh_token": alice.refresh_token}
        got = await Trader(session).call(engine, "POST", "/api/refresh", body)
        assert (got.status, set(got.body)) == (200, SESSION)
        assert got.body["refresh_token"] == alice.refresh_token
        account = await bearer(session, got.body["token"]).call(engine, "GET", "/api/account")
        assert (account.status, account.body["username"]) == (200, alice.username)


async def test_expired_or_unknown_refresh_token_is_refused(alice: Alice, engine: Any, shared_engines: Any) -> None:
    session = alice.trader.session
    await shared_engines.database.execute(
        "UPDATE refresh_tokens SET expires_at = now() FROM user_accounts"
        " WHERE user_accounts.user_id = refresh_tokens.user_id AND account_id = $1",
        alice.account_id,
        user="rtx_migrator",
    )
    for token in (alice.refresh_token, secrets.token_urlsafe(56), alice.token, ""):
        got = await Trader(session).call(engine, "POST", "/api/refresh", {"refresh_token": token})
        assert (got.status, got.body["error"]["reason"]) == (401, "Unauthorized")


async def test_administrator_has_no_refresh_token(session: aiohttp.ClientSession, engine: Any) -> None:
    credentials = {"username": "admin", "password": "admin-password"}
    got = await Trader(session).call(engine, "POST", "/api/login", credentials)
    assert (got.body["account_id"], got.body["refresh_token"]) == ("admin", None)


async def test_another_password_ends_all_tokens_and_the_old_password(alice: Alice, engine: Any) -> None:
    session = alice.trader.session
    # when the password changes
    passwords = {"password": "password", "new_password": "another password"}
    got = await alice.trader.call(engine, "POST", "/api/password", passwords)
    assert (got.status, set(got.body)) == (200, SESSION)
    # then the answer's tokens count, from the first moment on
    renewed = bearer(session, got.body["token"])
    assert (await renewed.call(engine, "GET", "/api/account")).status == 200
    refreshed = await renewed.call(engine, "POST", "/api/refresh", {"refresh_token": got.body["refresh_token"]})
    assert refreshed.status == 200
    # and no token of before does
    await is_refused(alice.trader, engine)
    old = await renewed.call(engine, "POST", "/api/refresh", {"refresh_token": alice.refresh_token})
    assert old.status == 401
    wrong = {"username": alice.username, "password": "password"}
    assert (await Trader(session).call(engine, "POST", "/api/login", wrong)).status == 401
    await log_in(session, engine, alice.username, "another password")
    assert (await renewed.call(engine, "GET", "/api/account")).status == 200


@pytest.mark.parametrize(
    ("passwords", "status"),
    [
        ({"password": "wrong password", "new_password": "another password"}, 401),
        ({"password": "password", "new_password": "short"}, 400),
    ],
)
async def test_refused_change_of_the_password_ends_nothing(
    alice: Alice, engine: Any, passwords: dict[str, str], status: int
) -> None:
    assert (await alice.trader.call(engine, "POST", "/api/password", passwords)).status == status
    assert (await alice.trader.call(engine, "GET", "/api/account")).status == 200
    await log_in(alice.trader.session, engine, alice.username)


async def test_administrator_ends_the_tokens_of_one_account(alice: Alice, engine: Any) -> None:
    session = alice.trader.session
    bob = await Trader(session).open(engine, f"bob {secrets.token_hex(4)}")
    admin = await admin_of(session, engine)
    got = await admin.call(engine, "POST", f"/api/admin/accounts/{alice.account_id}/revoke")
    assert (got.status, got.body) == (200, {"account_id": alice.account_id})
    await is_refused(alice.trader, engine)
    assert (await bob.call(engine, "GET", "/api/account")).status == 200
    await log_in(session, engine, alice.username)
    # and nobody else may, nor for an account that is none
    assert (await bob.call(engine, "POST", f"/api/admin/accounts/{alice.account_id}/revoke")).status == 403
    for account in ("0", "999999999", "x"):
        assert (await admin.call(engine, "POST", f"/api/admin/accounts/{account}/revoke")).status == 404


async def test_user_logs_in_after_a_failover_that_lost_a_change_of_the_password(
    alice: Alice, engine: Any, shared_engines: Any
) -> None:
    # given a user who has changed the password, of which the pod has learned
    passwords = {"password": "password", "new_password": "another password"}
    [before] = await shared_engines.database.execute("SELECT * FROM users WHERE username = $1", alice.username)
    assert (await alice.trader.call(engine, "POST", "/api/password", passwords)).status == 200
    await is_refused(alice.trader, engine)

    # when the database is one without the change: a standby that lacked it, or an earlier backup
    async with as_before(shared_engines.database) as restored:
        await restored.execute("DELETE FROM refresh_tokens WHERE user_id = $1", before["id"])
        await restored.execute(
            "UPDATE users SET password_hash = $1, generation = $2, revoked_at = $3 WHERE id = $4",
            before["password_hash"],
            before["generation"],
            before["revoked_at"],
            before["id"],
        )

    # then the tokens that the password gives count again
    token = (await log_in(alice.trader.session, engine, alice.username))["token"]
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await bearer(alice.trader.session, token).call(engine, "GET", "/api/account")).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_revocation_counts_however_long_its_commit_waited_for_a_standby(
    alice: Alice, engine: Any, shared_engines: Any
) -> None:
    async with as_before(shared_engines.database) as late:
        await late.execute(
            "UPDATE users SET generation = 1, revoked_at = now() - interval '1 hour' WHERE username = $1",
            alice.username,
        )
    await is_refused(alice.trader, engine)


async def test_user_has_no_more_refresh_tokens_than_the_newest(alice: Alice, engine: Any, shared_engines: Any) -> None:
    # given more refresh tokens than a user may have
    await shared_engines.database.execute(
        "INSERT INTO refresh_tokens (hash, user_id, generation, expires_at)"
        " SELECT sha256(n::text::bytea), user_id, 0, now() + interval '1 hour'"
        " FROM user_accounts, generate_series(1, 40) AS n WHERE account_id = $1",
        alice.account_id,
        user="rtx_migrator",
    )
    # when they log in once more
    newest = await log_in(alice.trader.session, engine, alice.username)
    # then the oldest are gone, and the newest count
    [kept] = await shared_engines.database.execute(
        "SELECT count(*) AS number FROM refresh_tokens JOIN user_accounts USING (user_id) WHERE account_id = $1",
        alice.account_id,
    )
    assert kept["number"] == 32
    got = await Trader(alice.trader.session).call(
        engine, "POST", "/api/refresh", {"refresh_token": newest["refresh_token"]}
    )
    assert got.status == 200


async def test_events_come_in_pages(alice: Alice, engine: Any) -> None:
    placed = [(await alice.trader.order(engine, f"order {number}")).body for number in range(5)]
    found: list[Any] = []
    since: int | None = 0
    while since is not None:
        page = (await alice.trader.call(engine, "GET", f"/api/events?since={since}&limit=2")).body
        found += page["events"]
        since = page["next_since"]
    assert found == [{"type": "order", **order} for order in placed]


# Streams


def short_lived(account_id: int, seconds: int) -> str:
    now = int(time.time())
    claims = {"iss": "rtx-engine", "aud": ENGINE, "sub": str(account_id), "role": "trader", "gen": 0}
    return jwt.encode({**claims, "iat": now, "exp": now + seconds}, SECRET, "HS256")


def stream(session: aiohttp.ClientSession, engine: Any, token: str | None = None, query: str = "") -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return session.ws_connect(f"{engine.url}/ws{query}", headers=headers)


def authenticate(token: str) -> str:
    return json.dumps({"type": "authenticate", "token": token})


async def closed(socket: Any) -> tuple[int, str]:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (message := await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
            assert message.type is aiohttp.WSMsgType.TEXT, message
    return message.data, message.extra


async def test_stream_ends_with_its_token(alice: Alice, engine: Any) -> None:
    async with stream(alice.trader.session, engine, short_lived(alice.account_id, 2)) as socket:
        assert (await socket.receive_json())["type"] == "hello"
        assert await closed(socket) == (
            4401,
            "The token has expired: get another one at POST /api/refresh, or log in again at POST /api/login.",
        )


async def test_stream_goes_on_with_another_token(alice: Alice, engine: Any) -> None:
    async with stream(alice.trader.session, engine, short_lived(alice.account_id, 2)) as socket:
        assert (await socket.receive_json())["type"] == "hello"
        # when another token comes before the first has expired
        await socket.send_str(authenticate(alice.token))
        answer = await socket.receive_json()
        assert answer["type"] == "authenticated"
        # then the stream outlives that
        await asyncio.sleep(4)
        order = await alice.trader.order(engine, "later")
        assert await socket.receive_json() == {"type": "order", **order.body}


async def test_revoked_token_ends_its_stream(alice: Alice, engine: Any) -> None:
    async with stream(alice.trader.session, engine, alice.token) as socket:
        assert (await socket.receive_json())["type"] == "hello"
        admin = await admin_of(alice.trader.session, engine)
        await admin.call(engine, "POST", f"/api/admin/accounts/{alice.account_id}/revoke")
        assert await closed(socket) == (4401, "The token was revoked: log in again at POST /api/login.")


async def test_token_in_the_first_message_begins_the_stream(alice: Alice, engine: Any) -> None:
    order = await alice.trader.order(engine, "before")
    async with stream(alice.trader.session, engine, query="?since=0") as socket:
        await socket.send_str(authenticate(alice.token))
        assert (await socket.receive_json())["account_id"] == alice.account_id
        assert await socket.receive_json() == {"type": "order", **order.body}


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("hello", 'send {"type": "authenticate", "token": "…"} as the first message, or the Authorization header'),
        (authenticate("nonsense"), "The token is not valid: log in again at POST /api/login."),
        (None, 'send {"type": "authenticate", "token": "…"} as the first message, or the Authorization header'),
    ],
    ids=["another message", "no token of ours", "nothing"],
)
async def test_stream_without_a_token_ends(
    session: aiohttp.ClientSession, engine: Any, first: str | None, reason: str
) -> None:
    async with stream(session, engine) as socket:
        if first is not None:
            await socket.send_str(first)
        assert await closed(socket) == (4401, reason)


async def test_another_accounts_token_does_not_continue_a_stream(alice: Alice, engine: Any) -> None:
    username = f"bob {secrets.token_hex(4)}"
    await Trader(alice.trader.session).open(engine, username)
    bob = await log_in(alice.trader.session, engine, username)
    async with stream(alice.trader.session, engine, alice.token) as socket:
        await socket.receive_json()
        await socket.send_str(authenticate(bob["token"]))
        assert (await closed(socket))[0] == 4401


async def test_streams_of_an_account_are_bounded(alice: Alice, engine: Any) -> None:
    session = alice.trader.session
    # given as many as an account may have
    sockets = [await stream(session, engine, alice.token) for _ in range(32)]
    # then one more is refused, either way
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await stream(session, engine, alice.token)
    assert refused.value.status == 429
    async with stream(session, engine) as socket:
        await socket.send_str(authenticate(alice.token))
        assert (await closed(socket))[0] == 4429
    # and when one ends, another may begin
    await sockets.pop().close()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            try:
                sockets.append(await stream(session, engine, alice.token))
                break
            except aiohttp.WSServerHandshakeError:
                await asyncio.sleep(0.1)
    for socket in sockets:
        await socket.close()


async def test_stream_that_would_replay_too_much_is_sent_to_the_pages(
    alice: Alice, engine: Any, shared_engines: Any
) -> None:
    await shared_engines.database.execute(
        "WITH entered AS ("
        " INSERT INTO journal (account_id, sequence, at, amount, balance, kind, reason, author)"
        " SELECT $1, number, now(), 0, 0, 4, 'test', 'admin' FROM generate_series(1, 5001) AS number"
        ") UPDATE accounts SET event_sequence = 5001 WHERE id = $1",
        alice.account_id,
        user="rtx_migrator",
    )
    async with stream(alice.trader.session, engine, alice.token, "?since=0") as socket:
        assert await closed(socket) == (
            1008,
            "since is 5001 events behind: read them at GET /api/events, then connect again",
        )
    async with stream(alice.trader.session, engine, alice.token, "?since=5001") as socket:
        assert (await socket.receive_json())["sequence"] == 5001
