"""rtx-traffic: open-loop load on a trading engine. Prints JSON lines and writes a ledger file."""

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
from .sessions import Session, Sessions
from .sockets import Socket

GC_THRESHOLD = 20_000  # live objects, of a few hundred requests
START_POLL_SECONDS = 0.05  # between checks for the start file
START_DEADLINE_SECONDS = 300.0
SETTLE_SECONDS = 6.0  # sockets stay open after the last response: longer than streams.EVENT_DEADLINE_SECONDS
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


class OutputLine(msgspec.Struct, omit_defaults=True):
    """A line of JSON on standard output."""

    event: Literal["prepared", "waiting", "progress", "crash", "end", "error"]
    message: str = ""
    run: str = ""
    progress: Progress | None = None


@app.command()
def run(
    *,
    url: Annotated[str, typer.Option(help="URL of the engine's live Service, such as http://rtx-engine.rtx-trading")],
    rate: Annotated[float, typer.Option(help="requests per second on all connections")] = 600.0,
    keep_alive: Annotated[int, typer.Option(help="number of keep-alive connections")] = 32,
    new_per_second: Annotated[
        float, typer.Option(help="requests per second of the rate that open a new connection")
    ] = 100.0,
    sockets: Annotated[int, typer.Option(help="number of WebSockets, spread over the accounts")] = 100,
    accounts: Annotated[int, typer.Option(help="number of accounts to trade on; missing ones are created")] = 50,
    duration: Annotated[float, typer.Option(help="in seconds; 0 runs until `rtx-traffic stop`")] = 30.0,
    parts: Annotated[int, typer.Option(min=1, help="number of pods that share the load")] = 1,
    part: Annotated[int, typer.Option(min=0, help="index of this pod, from 0")] = 0,
    start: Annotated[
        Path | None, typer.Option(help="file to wait for: the output of `prepare` with the start time")
    ] = None,
    ledger: Annotated[Path, typer.Option(help="ledger file to write")] = Path("/tmp/ledger.jsonl"),  # noqa: S108  a pod's own
    pid_file: Annotated[Path, typer.Option(help="file with the process id, for `stop`")] = Path("/tmp/rtx-traffic.pid"),  # noqa: S108
    hold: Annotated[
        bool, typer.Option(help="stay after the run until SIGTERM, so that the ledger can be fetched")
    ] = False,
) -> None:
    """Send the load and write the ledger. Reads ADMIN_PASSWORD of the engine, except with --start."""
    if not 0 <= new_per_second <= rate or rate <= 0:
        _fail(f"--new-per-second {new_per_second:g} must be between 0 and --rate {rate:g}, and --rate above 0.")
    if part >= parts or (parts > 1 and not start):
        _fail(f"--part {part} of --parts {parts}: parts count from 0, and several parts require a common --start.")
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
    gc.freeze()  # start-up objects stay alive; scanning them in each collection delays requests
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
    url: Annotated[str, typer.Option(help="URL of the engine's live Service")],
    accounts: Annotated[int, typer.Option(help="number of accounts to trade on; missing ones are created")] = 50,
) -> None:
    """Log in the accounts and print the input of every part of a run as one JSON object, with tokens."""
    try:
        start = uvloop.run(_prepare(_resolve(url), accounts))
    except PreparationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    sys.stdout.buffer.write(msgspec.json.encode(start) + b"\n")


@app.command()
def stop(pid_file: Annotated[Path, typer.Option()] = Path("/tmp/rtx-traffic.pid")) -> None:  # noqa: S108  a pod's own
    """End the load of this pod: send no new requests and wait for the pending responses."""
    try:
        os.kill(int(pid_file.read_text()), signal.SIGINT)
    except FileNotFoundError:
        _fail("No load is running in this pod: the pid file does not exist.")


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
        _fail("ADMIN_PASSWORD is not set: set it from the key ADMIN_PASSWORD of the engine's credentials Secret.")
    symbols = await trading.tradable_symbols(target)
    accounts = await trading.prepare(target, admin_password=admin_password, count=count)
    return Start(uuid.uuid4().hex[:8], tuple(accounts), tuple(symbols))


async def _read_start(file: Path) -> Start:
    """The content of the start file, once it exists. Raises PreparationError."""
    _emit(OutputLine("waiting", f"for {file}"))
    try:
        async with asyncio.timeout(START_DEADLINE_SECONDS):
            while not file.exists():  # noqa: ASYNC110, ASYNC240  no event announces a file, and it is in memory
                await asyncio.sleep(START_POLL_SECONDS)
    except TimeoutError:
        raise PreparationError(
            f"{file} was not created within {START_DEADLINE_SECONDS:.0f} s: check that the run was not aborted."
        ) from None
    return msgspec.json.decode(file.read_bytes(), type=Start)  # noqa: ASYNC240  as above


async def _load(settings: Run, target: Target, start: Start, recorder: Recorder, stop: asyncio.Event) -> int:
    """Open the sockets, send the schedule, wait for the last events. Returns the number of due requests."""
    sessions, symbols = [Session(account) for account in start.accounts], start.symbols
    streams = [
        Socket(
            number=number,
            session=sessions[number % len(sessions)],
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
        account_ids=[session.account_id for session in sessions],
        symbols=symbols,
        seed=seed,
    )
    load = Load(target=target, sessions=sessions, orders=source, keep_alive=settings.keep_alive, recorder=recorder)
    tasks = {f"WebSocket {stream.number}": stream.run() for stream in streams} | {
        "progress": _report(recorder),
        "sessions": Sessions(target, sessions, recorder).run(),
    }
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
        await asyncio.sleep(-recorder.clock())  # until the common start of all parts
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
        _fail(
            f"{parts.hostname} does not resolve ({error.strerror}): check the engine's Service and that DNS is allowed."
        )
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
