"""Migrations of a database with users: who may log in outlives the way back and up again."""

import datetime as dt

import pytest
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_files import Half

OPEN = (
    "INSERT INTO accounts (username, password_hash, currency, balance, leverage)"
    " VALUES ($1, 'first hash', 'USD', 10000, 100)"
)


@pytest.mark.parametrize("half", [Half.EXPAND, None])
async def test_logins_outlive_the_way_back_and_up_again(fenced_database, start_pod, half):
    # given accounts of both releases, whose passwords change, and one that is opened after the way back
    address = fenced_database.as_role("rtx_migrator")
    async with Migrator.connected(address) as migrator:
        await migrator.up(to=1)
        await fenced_database.execute(OPEN, "old", user="rtx_migrator")
        await migrator.up(half=half)
    pod = await start_pod(address=fenced_database.engine)
    await pod.open_account("new")
    for name in ("old", "new"):
        login = await pod.store.users.named(name, known=True)
        assert await pod.store.users.change_password(login, f"of {name}", name.encode(), dt.timedelta(hours=1))
    await pod.store.stop()
    async with Migrator.connected(address) as migrator:
        await migrator.down(to=5)
        await fenced_database.execute(OPEN, "between", user="rtx_migrator")
        await migrator.up(half=half)

    pod = await start_pod(address=fenced_database.engine)
    found = [await pod.store.users.named(name, known=True) for name in ("old", "new", "between")]
    assert [one and one.password_hash for one in found] == ["of old", "of new", "first hash"]
