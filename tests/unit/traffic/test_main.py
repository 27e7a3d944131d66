"""The program as pods run it: prepared once, started together, stopped, with one merged ledger."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from rtx_traffic.completeness import records
from rtx_traffic.ledger import Ledger
from rtx_traffic.main import OutputLine
from rtx_traffic.parts import Start

RUN = [sys.executable, "-c", "from rtx_traffic.main import main; main()"]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An engine that lets everybody in and fills everything."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0] or 0)
            body = json.loads(await reader.readexactly(length) or b"{}")
            path = head.split()[1].decode()
            answer: object = {}
            if path == "/api/login":
                answer = {"token": f"token of {body['username']}", "account_id": body["username"][-4:]}
            elif path == "/api/symbols":
                answer = {"symbols": [{"symbol": "EURUSD"}]}
            elif path == "/api/orders/market":
                filled = {"order_id": "o", "status": "filled", "price": "1.1", "epoch": 1, "colour": "b", "sequence": 1}
                answer = filled | {"realised": "0", "executed_at": "2026-01-02T12:00:00Z"} | body
            body = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 201 Created\r\n" if "admin" in path or "market" in path else b"HTTP/1.1 200 OK\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with await asyncio.start_server(_serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def start_program(*arguments: str) -> asyncio.subprocess.Process:
    environment = os.environ | {"ADMIN_PASSWORD": "secret"}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*RUN, *arguments, stdout=pipe, stderr=pipe, env=environment)


async def output_lines(process: asyncio.subprocess.Process) -> list[OutputLine]:
    """All that it prints, once it has ended."""
    assert process.stdout
    lines = [msgspec.json.decode(line, type=OutputLine) async for line in process.stdout]
    await process.wait()
    return lines


def place(path: str, content: bytes) -> None:
    """Put the file there in one step."""
    Path(f"{path}.new").write_bytes(content)
    Path(f"{path}.new").rename(path)


def read(path: str) -> Ledger:
    return Ledger.parse(Path(path).read_bytes().splitlines())


async def test_two_parts_with_one_start_file_send_one_load(url: str, tmp_path: Path) -> None:
    # given two parts that wait for their start, and accounts that are logged in once
    files = [tmp_path / str(part) for part in range(2)]
    load = [f"--url={url}", "--rate=100", "--new-per-second=20", "--sockets=0", "--keep-alive=5", "--duration=0"]
    processes = [
        await start_program(
            "run", *load, "--parts=2", f"--part={part}", f"--start={files[part]}.start",
            f"--ledger={files[part]}.ledger", f"--pid-file={files[part]}.pid",
        )
        for part in range(2)
    ]  # fmt: skip
    prepared, _ = await (await start_program("prepare", f"--url={url}", "--accounts=3")).communicate()
    start = msgspec.structs.replace(msgspec.json.decode(prepared, type=Start), at=time.time() + 1)

    # when both are started at the same time and stopped after a while
    for file in files:
        place(f"{file}.start", msgspec.json.encode(start))
    while time.time() < start.at + 1:  # noqa: ASYNC110  the processes have clocks of their own
        await asyncio.sleep(0.1)
    for file in files:
        assert await (await start_program("stop", f"--pid-file={file}.pid")).wait() == 0
    lines = await asyncio.gather(*(output_lines(process) for process in processes))
    assert [await process.wait() for process in processes] == [0, 0]

    # then it was one run: its settings whole, every number once, all accounts used by both, and nothing failed
    ledgers = [read(f"{file}.ledger") for file in files]
    whole = Ledger.merge(ledgers)
    assert (whole.run.run, whole.run.started_at, whole.run.rate, whole.run.keep_alive) == (start.run, start.at, 100, 5)
    assert [output[-1].event for output in lines] == ["end", "end"]
    fresh = [request.order.client_order_id for request in whole.requests() if request.order and request.kind == "order"]
    assert len(fresh) == len(set(fresh)) > 20
    for ledger in ledgers:
        assert {order.account_id for _, order, _ in ledger.acknowledged()} == {"0000", "0001", "0002"}
    assert [request.failure for request in whole.requests() if request.failure] == []

    # and what was due is what was recorded; nothing more was planned, since it was stopped
    assert records(whole).unrecorded == 0
    assert {ledger.end.planned for ledger in ledgers} == {0}


async def test_unstopped_run_records_its_whole_schedule_as_planned(url: str, tmp_path: Path) -> None:
    # given a run of 1 s at 30 requests a second, when it has ended by itself
    load = [f"--url={url}", "--rate=30", "--new-per-second=5", "--sockets=0", "--keep-alive=5", "--duration=1"]
    process = await start_program(
        "run", *load, "--accounts=2", f"--ledger={tmp_path}/ledger", f"--pid-file={tmp_path}/pid"
    )
    lines = await output_lines(process)
    assert lines[-1].event == "end"

    # then its ledger says how many were due and planned, and holds them
    ledger = read(f"{tmp_path}/ledger")
    assert (ledger.end.due, ledger.end.planned, records(ledger).unrecorded) == (30, 30, 0)


async def test_parts_without_a_common_start_are_refused(url: str) -> None:
    # given several parts, when one is run without a start file, then it says so
    process = await start_program("run", f"--url={url}", "--parts=2")
    lines = await output_lines(process)
    assert lines[-1].event == "error"
    assert "several parts require a common --start" in lines[-1].message
    assert await process.wait() == 2


async def test_unreachable_engine_fails_with_one_sentence() -> None:
    # given nobody at the address, when the accounts are to be prepared, then standard error has the sentence
    process = await start_program("prepare", "--url=http://127.0.0.1:1")
    _, error = await process.communicate()
    assert b"The engine at 127.0.0.1 does not respond" in error
    assert process.returncode == 2
