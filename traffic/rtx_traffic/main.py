"""rtx-traffic: an open-loop load on a trading engine. Lines of JSON on stdout, the ledger in a file."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
import uuid
from pathlib import Path
from typing import Annotated, Literal, Never
from urllib.parse import urlsplit

import msgspec
import typer
import uvloop

from .accounts import Account, PreparationError, prepare, tradable_symbols
from .connection import ANSWER_DEADLINE, Target
from .ledger import End, Run
from .load import Load
from .recorder import Progress, Recorder
from .schedule import OrderSource, schedule
from .sockets import Socket

SETTLE = 6.0  # seconds that the sockets stay after the last answer: an event may be 5 s late before it counts
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


class Line(msgspec.Struct, omit_defaults=True):
    """A line on stdout."""

    event: Literal["prepared", "progress", "end", "error"]
    message: str = ""
    run: str = ""
    progress: Progress | None = None


@app.command()
def run(
    *,
    url: Annotated[str, typer.Option(help="the engine's live Service, such as http://rtx-engine.rtx-trading")],
    rate: Annotated[float, typer.Option(help="requests a second, all lanes together")] = 600.0,
    keep_alive: Annotated[int, typer.Option(help="connections that stay open")] = 32,
    new_per_second: Annotated[float, typer.Option(help="of the rate, those on a connection of their own")] = 100.0,
    sockets: Annotated[int, typer.Option(help="WebSockets, spread over the accounts")] = 100,
    accounts: Annotated[int, typer.Option(help="accounts to trade on; made when they are not there")] = 50,
    duration: Annotated[float, typer.Option(help="seconds; 0 goes on until `rtx-traffic stop`")] = 30.0,
    ledger: Annotated[Path, typer.Option(help="file for the ledger")] = Path("/tmp/ledger.jsonl"),  # noqa: S108  a pod's own
    pid_file: Annotated[Path, typer.Option(help="file that `stop` finds the run by")] = Path("/tmp/rtx-traffic.pid"),  # noqa: S108
    hold: Annotated[
        bool, typer.Option(help="stay after the run until SIGTERM, so that the ledger can be fetched")
    ] = False,
) -> None:
    """Send the load and write the ledger. ADMIN_PASSWORD is the engine's admin's."""
    admin_password = os.environ.get("ADMIN_PASSWORD")
    if not admin_password:
        _fail("ADMIN_PASSWORD is not set: give the pod the key ADMIN_PASSWORD of the engine's credentials Secret.")
    if not 0 <= new_per_second <= rate or rate <= 0:
        _fail(f"--new-per-second {new_per_second:g} must lie between 0 and --rate {rate:g}.")
    settings = Run(
        run=uuid.uuid4().hex[:8],
        url=url,
        started_at=time.time(),
        rate=rate,
        keep_alive=keep_alive,
        new_per_second=new_per_second,
        sockets=sockets,
        accounts=accounts,
        duration=duration,
    )
    pid_file.write_text(str(os.getpid()))
    try:
        uvloop.run(_run(settings, _resolve(url), admin_password, ledger, hold=hold))
    except PreparationError as error:
        _fail(str(error))
    finally:
        pid_file.unlink(missing_ok=True)


@app.command()
def stop(pid_file: Annotated[Path, typer.Option()] = Path("/tmp/rtx-traffic.pid")) -> None:  # noqa: S108  a pod's own
    """End the load of this pod: nothing new is sent, what is under way is waited for."""
    try:
        os.kill(int(pid_file.read_text()), signal.SIGINT)
    except FileNotFoundError:
        _fail("No load is running here.")


async def _run(settings: Run, target: Target, admin_password: str, ledger: Path, *, hold: bool) -> None:
    loop = asyncio.get_running_loop()
    stop, leave = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, _set_all, stop, leave)

    symbols = await tradable_symbols(target)
    accounts = await prepare(target, admin_password=admin_password, count=settings.accounts)
    _say(Line("prepared", f"{len(accounts)} accounts, {len(symbols)} symbols", settings.run))
    settings = msgspec.structs.replace(settings, started_at=time.time())
    with Recorder(ledger, settings) as recorder:
        await _load(settings, target, accounts, symbols, recorder, stop)
        recorder.record(End(recorder.clock()))
        _say(Line("end", run=settings.run, progress=recorder.progress()))
    if hold:
        await leave.wait()


async def _load(
    settings: Run,
    target: Target,
    accounts: list[Account],
    symbols: list[str],
    recorder: Recorder,
    stop: asyncio.Event,
) -> None:
    """The sockets first, then the schedule, then a while for the last events."""
    streams = [
        Socket(
            number=number,
            account=accounts[number % len(accounts)],
            target=target,
            symbol=symbols[number % len(symbols)],
            clock=recorder.clock,
            record=recorder.record,
        )
        for number in range(settings.sockets)
    ]
    source = OrderSource(
        run=settings.run,
        account_ids=[account.account_id for account in accounts],
        symbols=symbols,
        seed=int(settings.run, 16),
    )
    load = Load(target=target, accounts=accounts, orders=source, keep_alive=settings.keep_alive, recorder=recorder)
    background = [asyncio.create_task(stream.run()) for stream in streams]
    background.append(asyncio.create_task(_report(recorder)))
    try:
        await _connected(streams)
        plan = schedule(
            rate=settings.rate,
            new_per_second=settings.new_per_second,
            duration=settings.duration,
            seed=int(settings.run, 16),
        )
        await load.run(plan, stop)
        await asyncio.sleep(SETTLE)
    finally:
        for task in background:
            task.cancel()
        await asyncio.wait(background, timeout=ANSWER_DEADLINE)
        load.close()


async def _connected(streams: list[Socket]) -> None:
    """Wait until every socket is up, ANSWER_DEADLINE at most: one that is not shows as failed handshakes."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_DEADLINE):
            for stream in streams:
                await stream.up.wait()


async def _report(recorder: Recorder) -> None:
    while True:
        await asyncio.sleep(1)
        _say(Line("progress", progress=recorder.progress()))


def _resolve(url: str) -> Target:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        _fail(f"--url {url} is not an http:// URL of a Service.")
    port = parts.port or 80
    try:
        address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        _fail(f"{parts.hostname} does not resolve ({error.strerror}): is the engine's Service there, and DNS allowed?")
    return Target(parts.hostname, str(address), port)


def _set_all(*events: asyncio.Event) -> None:
    for event in events:
        event.set()


def _say(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _fail(message: str) -> Never:
    _say(Line("error", message))
    raise typer.Exit(2)


def main() -> None:
    app()
