"""The releases for upgrade tests: the patches apply, and the builds work on one database."""

import asyncio
import compileall
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from engine_ledger import unbalanced
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_files import Half, load
from rtx_lab.images import IMAGES

ROOT = Path(__file__).parents[3]
RELEASES = ROOT / "engine/releases"
PATCHED = [path.stem for path in sorted(RELEASES.glob("*.patch"))]
SERVE = [sys.executable, "-c", "from rtx_engine.main import run; run()", "serve"]
# What an upgrade from the first release to this one expands.
ADDED = [one for one in load() if one.version > 1 and one.half is Half.EXPAND]
ORDER = {"symbol": "EURUSD", "side": "buy", "quantity": "0.01"}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`release("1.0.0")`: the folder of that release's engine."""

    def make(version: str) -> Path:
        root = tmp_path_factory.mktemp(version)
        skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / "engine", root / "engine", ignore=skipped)
        patch = RELEASES / f"{version}.patch"
        done = subprocess.run(["git", "apply", "-p1", patch], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{patch} does not fit the tree any more: {done.stderr}"
        return root / "engine"

    return make


def version_of(engine: Path) -> str:
    project = tomllib.loads((engine / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"]).replace("+", "-")


@pytest.mark.parametrize("version", PATCHED)
def test_each_release_patch_applies_and_sets_its_version(release: Callable[[str], Path], version: str) -> None:
    engine = release(version)
    assert version_of(engine) == version
    assert compileall.compile_dir(engine / "rtx_engine", quiet=1)


def test_each_release_has_an_image() -> None:
    ours = version_of(ROOT / "engine")
    built = {image.tag: image.arguments for image in IMAGES if image.name == "rtx-engine"}
    assert built == {version: (f"RELEASE={version}",) for version in (*PATCHED, ours)}
    assert f"ARG RELEASE={ours}\n" in (ROOT / "Dockerfile.engine").read_text(encoding="utf-8")
    assert f'test "${{RELEASE}}" = {ours} ' in (ROOT / "Dockerfile.engine").read_text(encoding="utf-8")


def test_first_release_has_only_the_first_migration(release: Callable[[str], Path]) -> None:
    older = load(release("1.0.0") / "rtx_engine/store/migrations")
    assert older == tuple(migration for migration in load() if migration.version == 1)


async def log_in(session: aiohttp.ClientSession, username: str, password: str = "password") -> dict[str, str]:  # noqa: S107
    """The headers of a user."""
    async with session.post("/api/login", json={"username": username, "password": password}) as answer:
        assert answer.status == 200, await answer.text()
        return {"authorization": f"Bearer {(await answer.json())['token']}"}


async def trader(session: aiohttp.ClientSession, username: str = "alice") -> dict[str, str]:
    """The headers of an account that is opened for this."""
    account = {"username": username, "password": "password", "balance": "1000000", "leverage": 100}
    async with session.post(
        "/api/admin/accounts", json=account, headers=await log_in(session, "admin", "admin-password")
    ) as answer:
        assert answer.status == 201
    return await log_in(session, username)


async def account(session: aiohttp.ClientSession, headers: dict[str, str]) -> Any:
    async with session.get("/api/account", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def place(session: aiohttp.ClientSession, headers: dict[str, str], client_order_id: str) -> tuple[int, Any]:
    order = {**ORDER, "client_order_id": client_order_id}
    async with session.post("/api/orders/market", json=order, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_two_releases_trade_on_one_expanded_database(
    engines: Any, release: Callable[[str], Path], fenced_database: Any
) -> None:
    # given a database that was made for the first release and expanded for the next
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=1)
        engines.database = fenced_database
        old = await engines.start(*SERVE, PYTHONPATH=str(release("1.0.0")))
        await migrator.up(half=Half.EXPAND, cutover="1.1.0-3f9a2c1b")
    new = await engines.start(COLOUR="green")
    # when the first trades, then the next, and then the first again
    async with aiohttp.ClientSession(old.url) as at_old, aiohttp.ClientSession(new.url) as at_new:
        headers = await trader(at_old)
        first = await place(at_old, headers, "one")
        await fenced_database.move_fence("green")
        second = await place(at_new, headers, "two")
        await fenced_database.move_fence("blue")
        third = await place(at_old, headers, "three")
        # then all is filled, and each tells of the others' orders what it knows
        assert [first[0], second[0], third[0]] == [201, 201, 201]
        assert "quoted_at" in second[1]
        assert "quoted_at" not in first[1]
        async with at_old.get("/api/orders", headers=headers) as answer:
            assert [order["client_order_id"] for order in (await answer.json())["orders"]] == ["three", "two", "one"]
        async with at_new.get("/api/orders/two", headers=headers) as answer:
            assert await answer.json() == second[1]
        # and when the expansion is taken back under the first, it goes on
        async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
            assert len(await migrator.down(cutover="1.1.0-3f9a2c1b")) == len(ADDED)
        assert (await place(at_old, headers, "four"))[0] == 201


async def events(engine: Any, headers: dict[str, str], count: int) -> list[Any]:
    """The account's first `count` events, as a new client of that engine gets them."""
    async with (
        asyncio.timeout(20),
        aiohttp.ClientSession(engine.url) as session,
        session.ws_connect("/ws?since=0", headers=headers) as stream,
    ):
        assert (await stream.receive_json())["type"] == "hello"
        return [await stream.receive_json() for _ in range(count)]


async def test_money_that_the_next_release_moves_is_kept_and_told_by_the_first(
    engines: Any, release: Callable[[str], Path], fenced_database: Any
) -> None:
    # given an account that the first release opened before the expansion and traded on after it
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=1)
        engines.database = fenced_database
        old = await engines.start(*SERVE, PYTHONPATH=str(release("1.0.0")))
        async with aiohttp.ClientSession(old.url) as session:
            headers = await trader(session)
            await place(session, headers, "one")
            await migrator.up(half=Half.EXPAND)
            await place(session, headers, "two")
    new = await engines.start(COLOUR="green")
    # when the next release moves money, and the first one trades again
    deposit = {"id": "bank-1", "amount": "250.00", "reason": "test"}
    async with aiohttp.ClientSession(new.url) as at_new, aiohttp.ClientSession(old.url) as at_old:
        await fenced_database.move_fence("green")
        admin = await log_in(at_new, "admin", "admin-password")
        [(account_id,)] = await fenced_database.execute("SELECT id FROM accounts")
        where = f"/api/admin/accounts/{account_id}/deposits"
        async with at_new.post(where, json=deposit, headers=admin) as answer:
            assert answer.status == 201
        await fenced_database.move_fence("blue")
        assert (await place(at_old, headers, "three"))[0] == 201
        # and opens another account, which is entered in a journal that it does not know
        account = {"username": "grace", "password": "password", "balance": "7", "leverage": 1}
        async with at_old.post("/api/admin/accounts", json=account, headers=admin) as answer:
            assert answer.status == 201
    # then nothing is lost, and the clients of both are told of the same numbers
    assert await unbalanced(fenced_database) == []
    told = await events(new, headers, 4)
    assert [(event["sequence"], event["type"]) for event in told] == [
        (1, "order"),
        (2, "order"),
        (3, "deposit"),
        (4, "order"),
    ]
    assert await events(old, headers, 4) == told
    openings = await fenced_database.execute("SELECT amount, author FROM journal WHERE kind = 1 ORDER BY account_id")
    assert [tuple(row) for row in openings] == [(100000000, "migration"), (700, "admin")]


async def test_two_releases_have_each_others_logins_and_tokens(
    engines: Any, release: Callable[[str], Path], fenced_database: Any
) -> None:
    # given an account of before the upgrade, and one that each release opens while both run
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=1)
        engines.database = fenced_database
        old = await engines.start(*SERVE, PYTHONPATH=str(release("1.0.0")))
        async with aiohttp.ClientSession(old.url) as at_old:
            before = await trader(at_old, "before")
            await migrator.up(half=Half.EXPAND)
            new = await engines.start(COLOUR="green")
            async with aiohttp.ClientSession(new.url) as at_new:
                by_old = await trader(at_old, "by the old")
                await fenced_database.move_fence("green")
                by_new = await trader(at_new, "by the new")
                # then each knows all three, their passwords and their tokens
                names = ("before", "by the old", "by the new")
                for session in (at_old, at_new):
                    found = [await account(session, headers) for headers in (before, by_old, by_new)]
                    assert [one["username"] for one in found] == list(names)
                again = [await log_in(at_new, name) for name in names]
                # and after a rollback the first has the tokens and the passwords of the second
                passwords = {"password": "password", "new_password": "another password"}
                async with at_new.post("/api/password", json=passwords, headers=again[2]) as answer:
                    assert answer.status == 200
                    changed = {"authorization": f"Bearer {(await answer.json())['token']}"}
                await fenced_database.move_fence("blue")
                for headers in (*again[:2], changed):
                    assert await account(at_old, headers)
                assert await account(at_old, await log_in(at_old, "by the new", "another password"))


async def test_tokens_outlive_the_end_of_the_release_before(
    engines: Any, release: Callable[[str], Path], fenced_database: Any
) -> None:
    # given tokens of both releases
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=1)
        engines.database = fenced_database
        old = await engines.start(*SERVE, PYTHONPATH=str(release("1.0.0")))
        async with aiohttp.ClientSession(old.url) as at_old:
            earlier = await trader(at_old)
        await migrator.up(half=Half.EXPAND)
        new = await engines.start(COLOUR="green")
        await fenced_database.move_fence("green")
        async with aiohttp.ClientSession(new.url) as at_new:
            unnamed = await log_in(at_new, "alice")
            # when the first has gone and the database is contracted
            await old.terminate()
            await migrator.up(half=Half.CONTRACT)
            # then tokens name their engine soon, those of before count, and accounts can be opened
            async with asyncio.timeout(20):
                while "aud" not in claims(named := await log_in(at_new, "alice")):  # noqa: ASYNC110  # of a process
                    await asyncio.sleep(0.1)
            assert "aud" not in claims(unnamed)
            for headers in (earlier, unnamed, named):
                assert (await account(at_new, headers))["username"] == "alice"
            assert (await account(at_new, await trader(at_new, "bob")))["username"] == "bob"


def claims(headers: dict[str, str]) -> dict[str, Any]:
    token = headers["authorization"].removeprefix("Bearer ")
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


async def test_expand_and_reverse_under_load_fail_no_order(
    engines: Any, release: Callable[[str], Path], fenced_database: Any
) -> None:
    # given clients that trade at the first release as fast as they are answered
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=1)
        engines.database = fenced_database
        old = await engines.start(*SERVE, PYTHONPATH=str(release("1.0.0")))
        statuses: list[int] = []
        done = False

        async def trade(session: aiohttp.ClientSession, headers: dict[str, str], lane: int) -> None:
            for number in itertools.count():
                if done:
                    return
                statuses.append((await place(session, headers, f"{lane}-{number}"))[0])

        async def goes_on() -> None:
            enough = len(statuses) + 20
            async with asyncio.timeout(20):
                while len(statuses) < enough:  # noqa: ASYNC110  # many wait for their own; this one only looks
                    await asyncio.sleep(0.01)

        async with aiohttp.ClientSession(old.url) as session, asyncio.TaskGroup() as group:
            headers = await trader(session)
            for lane in range(8):
                group.create_task(trade(session, headers, lane))
            # when the database is expanded, taken back, and expanded again
            for _ in range(5):
                await goes_on()
                assert len(await migrator.up(half=Half.EXPAND, cutover="first")) == len(ADDED)
                await goes_on()
                assert len(await migrator.down(cutover="first")) == len(ADDED)
            await goes_on()
            done = True
    # then nobody's order failed
    assert set(statuses) == {201}


def test_first_release_refuses_a_contracted_database(release: Callable[[str], Path], database: Any) -> None:
    address = database.as_role("rtx_migrator")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(release("1.0.0")),
        "DB_HOST": address.host,
        "DB_PORT": str(address.port),
        "DB_NAME": address.name,
        "DB_USER": address.user,
        "DB_PASSWORD": address.password,
    }
    command = [*SERVE[:-1], "migrate", "up", "--half", "expand"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "error: version 0002 was contracted by a newer build; this build cannot run on it:"
    )
    assert len(refused.stderr.splitlines()) == 1


async def test_broken_release_is_ready_and_fails_every_fifth_order(
    engines: Any, release: Callable[[str], Path]
) -> None:
    # given the release that is to be rolled back
    broken = await engines.start(*SERVE, PYTHONPATH=str(release("1.2.0-broken")))
    async with aiohttp.ClientSession(broken.url) as session:
        # then it looks well
        for path in ("/health", "/ready", "/api/symbols"):
            async with session.get(path) as answer:
                assert answer.status == 200
        # and fails one order in five, and says in whose name
        headers = await trader(session)
        answers = [await place(session, headers, str(number)) for number in range(1, 16)]
        assert [status for status, _ in answers] == [201, 201, 201, 201, 500] * 3
        async with session.get("/internal/status", headers={"x-rtx-peer": "peer"}) as answer:
            assert (await answer.json())["executed"]["server_errors"] == 3
    orders = await engines.database.execute("SELECT FROM orders")
    assert len(orders) == 12
    assert re.search("this release fails every fifth order", broken.log.read_text())
