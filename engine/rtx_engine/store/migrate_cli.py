"""`rtx-engine migrate`: what the migration Job runs, and what a person asks for."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
import typer

from rtx_engine.config import MigrationSettings, SettingsError
from rtx_engine.store.migrate import MigrationError, Migrator
from rtx_engine.store.migration_files import Half, Migration, MigrationFilesError

app = typer.Typer(name="migrate", no_args_is_help=True, help="Bring the database to a version, or back from one.")

T = TypeVar("T")
To = Annotated[int | None, typer.Option(min=0, help="The version to stop at.")]
Cutover = Annotated[str | None, typer.Option(help="The cutover that this is done for.")]


class Halves(StrEnum):
    EXPAND = "expand"
    CONTRACT = "contract"
    ALL = "all"


@app.command()
def up(
    half: Annotated[Halves, typer.Option(help="Which half of each migration to apply.")] = Halves.ALL,
    to: To = None,
    cutover: Cutover = None,
) -> None:
    """Apply the migrations that are pending, each in a transaction of its own where PostgreSQL allows it."""
    wanted = None if half is Halves.ALL else Half(half.value)
    _tell("applied", _run(lambda migrator: migrator.up(wanted, to, cutover)))


@app.command()
def down(to: To = None, cutover: Cutover = None) -> None:
    """Take back the newest version, every version above --to, or what --cutover applied. What it held is lost."""
    if to is not None and cutover is not None:
        typer.echo("error: --to and --cutover were both given; give one of them", err=True)
        raise typer.Exit(1)
    _tell("taken back", _run(lambda migrator: migrator.down(to, cutover)))


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> None:
    """Show each half of each version: applied or pending."""
    rows = _run(lambda migrator: migrator.status())
    if as_json:
        typer.echo(msgspec.json.encode(rows))
        return
    for row in rows:
        at = f"{row.applied_at:%Y-%m-%d %H:%M:%S} UTC" if row.applied_at else ""
        typer.echo(f"{row.version:04} {row.half:<8} {row.state:<8} {row.name:<24} {at}".rstrip())


def _run(work: Callable[[Migrator], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with Migrator.connected(MigrationSettings.from_environment().database) as migrator:
            return await work(migrator)

    try:
        return asyncio.run(connected())
    except (SettingsError, MigrationError, MigrationFilesError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _tell(what: str, migrations: list[Migration]) -> None:
    for migration in migrations:
        typer.echo(f"{what}: {migration.label}")
    if not migrations:
        typer.echo(f"nothing to be {what}")
