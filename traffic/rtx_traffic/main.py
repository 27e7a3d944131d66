"""rtx-traffic: an open-loop load on a trading engine. Lines of JSON on stdout, the ledger in a file."""

import asyncio
import contextlib
import gc
import math
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

from . import accounts as trading
from .accounts import PreparationError
from .connection import RESPONSE_DEADLINE_SECONDS, Target
from .ledger import End, Run
from .load import Load
from .parts import Start, part_numbers, share
from .progress import Progress
from .recorder import Recorder
from .schedule import OrderSource, schedule
from .sockets import Socket

GC_THRESHOLD = 20_000  # objects made and not freed: a few hundred requests' worth
START_POLL_SECONDS = 0.05  # seconds between looks for the start file
START_DEADLINE_SECONDS = 300.0
SETTLE_SECONDS = 6.0  # seconds that the sockets stay after the last answer: an event may be 5 s late before it counts
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


class OutputLine(msgspec.Struct, omit_defaults=True):
    """A line on stdout."""

    event: Literal["prepared", "waiting", "progress", "crash", "end", "error"]
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
    parts: Annotated[int, typer.Option(min=1, help="pods that the numbers above are divided among")] = 1,
    part: Annotated[int, typer.Option(min=0, help="which of them this is, from 0")] = 0,
    start: Annotated[
        Path | None, typer.Option(help="file to wait for: what `prepare` printed, and the time at which to begin")
    ] = None,
    ledger: Annotated[Path, typer.Option(help="file for the ledger")] = Path("/tmp/ledger.jsonl"),  # noqa: S108  a pod's own
    pid_file: Annotated[Path, typer.Option(help="file that `stop` finds the run by")] = Path("/tmp/rtx-traffic.pid"),  # noqa: S108
    hold: Annotated[
        bool, typer.Option(help="stay after the run until SIGTERM, so that the ledger can be fetched")
    ] = False,
) -> None:
    """Send the load and write the ledger. ADMIN_PASSWORD is the engine's admin's, and not needed with --start."""
    if not 0 <= new_per_second <= rate or rate <= 0:
        _fail(f"--new-per-second {new_per_second:g} must lie between 0 and --rate {rate:g}.")
    if part >= parts or (parts > 1 and not start):
        _fail(f"--part {part} of --parts {parts}: parts count from 0, and several of them need a common --start.")
    whole = Run(
        run="",
        url=url,
        started_at=0,
        rate=rate,
        keep_alive=keep_alive,
        new_per_second=new_per_second,
        sockets=sockets,
        accounts=accounts,
        duration=duration,
    )
    pid_file.write_text(str(os.getpid()))
    gc.freeze()  # what start-up has made stays; to look through it again and again is time that requests wait for
    gc.set_threshold(GC_THRESHOLD)
    try:
        uvloop.run(_run(share(whole, part, parts), _resolve(url), start, ledger, hold=hold))
    except PreparationError as error:
        _fail(str(error))
    finally:
        pid_file.unlink(missing_ok=True)


@app.command()
def prepare(
    *,
    url: Annotated[str, typer.Option(help="the engine's live Service")],
    accounts: Annotated[int, typer.Option(help="accounts to trade on; made when they are not there")] = 50,
) -> None:
    """Log the accounts in and print, as one JSON object, what every part of a run needs (tokens included)."""
    try:
        start = uvloop.run(_prepare(_resolve(url), accounts))
    except PreparationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    sys.stdout.buffer.write(msgspec.json.encode(start) + b"\n")


@app.command()
def stop(pid_file: Annotated[Path, typer.Option()] = Path("/tmp/rtx-traffic.pid")) -> None:  # noqa: S108  a pod's own
    """End the load of this pod: nothing new is sent, what is under way is waited for."""
    try:
        os.kill(int(pid_file.read_text()), signal.SIGINT)
    except FileNotFoundError:
        _fail("No load is running here.")


async def _run(settings: Run, target: Target, start_file: Path | None, ledger: Path, *, hold: bool) -> None:
    loop = asyncio.get_running_loop()
    stop, leave = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, _set_all, stop, leave)

    start = await (_read_start(start_file) if start_file else _prepare(target, settings.accounts))
    _emit(OutputLine("prepared", f"{len(start.accounts)} accounts, {len(start.symbols)} symbols", start.run))
    settings = msgspec.structs.replace(settings, run=start.run, started_at=start.at or time.time())
    with Recorder(ledger, settings, lambda message: _emit(OutputLine("crash", message))) as recorder:
        due = await _load(settings, target, start, recorder, stop)
        planned = 0 if stop.is_set() else math.floor(settings.rate * settings.duration)
        recorder.record(End(recorder.clock(), due, planned))
        _emit(OutputLine("end", run=settings.run, progress=recorder.progress()))
    if hold:
        await leave.wait()


async def _prepare(target: Target, count: int) -> Start:
    """Raises PreparationError."""
    admin_password = os.environ.get("ADMIN_PASSWORD")
    if not admin_password:
        _fail("ADMIN_PASSWORD is not set: give the pod the key ADMIN_PASSWORD of the engine's credentials Secret.")
    symbols = await trading.tradable_symbols(target)
    accounts = await trading.prepare(target, admin_password=admin_password, count=count)
    return Start(uuid.uuid4().hex[:8], tuple(accounts), tuple(symbols))


async def _read_start(file: Path) -> Start:
    """What the file says, once it is there. Raises PreparationError."""
    _emit(OutputLine("waiting", f"for {file}"))
    try:
        async with asyncio.timeout(START_DEADLINE_SECONDS):
            while not file.exists():  # noqa: ASYNC110, ASYNC240  nothing announces a file, and it is in memory
                await asyncio.sleep(START_POLL_SECONDS)
    except TimeoutError:
        raise PreparationError(
            f"{file} did not come within {START_DEADLINE_SECONDS:.0f} s: was the run given up?"
        ) from None
    return msgspec.json.decode(file.read_bytes(), type=Start)  # noqa: ASYNC240  as above


async def _load(settings: Run, target: Target, start: Start, recorder: Recorder, stop: asyncio.Event) -> int:
    """The sockets first, then the schedule, then a while for the last events. Returns how many requests were due."""
    accounts, symbols = start.accounts, start.symbols
    streams = [
        Socket(
            number=number,
            account=accounts[number % len(accounts)],
            target=target,
            symbol=symbols[number % len(symbols)],
            clock=recorder.clock,
            record=recorder.record,
        )
        for number in part_numbers(settings.sockets * settings.parts, settings.part, settings.parts)
    ]
    seed = int(settings.run, 16) + settings.part
    source = OrderSource(
        run=settings.run,
        account_ids=[account.account_id for account in accounts],
        symbols=symbols,
        seed=seed,
    )
    load = Load(target=target, accounts=accounts, orders=source, keep_alive=settings.keep_alive, recorder=recorder)
    tasks = {f"WebSocket {stream.number}": stream.run() for stream in streams} | {"progress": _report(recorder)}
    background = [asyncio.create_task(task) for task in tasks.values()]
    for task, name in zip(background, tasks, strict=True):
        recorder.watch(task, name)
    try:
        await _wait_for_hellos(streams)
        plan = schedule(
            rate=settings.rate,
            new_per_second=settings.new_per_second,
            duration=settings.duration,
            seed=seed,
            part=settings.part,
            parts=settings.parts,
        )
        await asyncio.sleep(-recorder.clock())  # not before the moment that all parts agreed on
        await load.run(plan, stop)
        await asyncio.sleep(SETTLE_SECONDS)
        return load.due
    finally:
        for task in background:
            task.cancel()
        await asyncio.wait(background, timeout=RESPONSE_DEADLINE_SECONDS)
        load.close()


async def _wait_for_hellos(streams: list[Socket]) -> None:
    """Wait for every socket's hello, RESPONSE_DEADLINE_SECONDS at most; the verdict reports a missing one."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RESPONSE_DEADLINE_SECONDS):
            for stream in streams:
                await stream.hello_received.wait()


async def _report(recorder: Recorder) -> None:
    while True:
        await asyncio.sleep(1)
        _emit(OutputLine("progress", progress=recorder.progress()))


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


def _emit(line: OutputLine) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _fail(message: str) -> Never:
    _emit(OutputLine("error", message))
    raise typer.Exit(2)


def main() -> None:
    app()
