"""What the cache's image does with an append-only file that Redis cannot load, with real files of a real Redis."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_servers import START_TIMEOUT_SECONDS, stop
from free_ports import free_port

SET_ASIDE = Path(__file__).parents[3] / "cache" / "set-aside.sh"


class Cache:
    """Redis as the entry point starts it, and what the startup probe does once it answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Whether it came up."""
        self.said = subprocess.run(
            ["sh", SET_ASIDE, self.folder], check=True, capture_output=True, text=True
        ).stderr.strip()
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""]
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(["redis-server", *options, "--dir", self.folder], stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while self.ask("ping") != "PONG":
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (self.folder / "loading").unlink()
        return True

    def ask(self, *words: str) -> str:
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, signal.SIGTERM)
            self.process = None

    @property
    def file(self) -> Path:
        """The part of the append-only file that commands are added to."""
        return max((self.folder / "appendonlydir").glob("*.incr.aof"))

    @property
    def aside(self) -> list[Path]:
        return sorted(self.folder.glob("appendonlydir.corrupt-*"))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    if shutil.which("redis-check-aof") is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    cache = Cache(tmp_path)
    yield cache
    cache.stop()


def filled(cache: Cache) -> None:
    assert cache.start()
    for number in range(20):
        assert cache.ask("set", f"key-{number}", "value") == "OK"
    cache.stop()


def damage(cache: Cache) -> None:
    data = bytearray(cache.file.read_bytes())
    data[100:110] = b"\0" * 10
    cache.file.write_bytes(data)


def test_undamaged_file_is_loaded(cache: Cache) -> None:
    filled(cache)

    assert cache.start()

    assert cache.ask("dbsize") == "20"
    assert (cache.aside, cache.said) == ([], "")


@pytest.mark.parametrize("damaged", ["a command", "the manifest", "a part that is missing"])
def test_damaged_file_is_set_aside_by_the_second_start(cache: Cache, damaged: str) -> None:
    # Given a file that Redis refuses
    filled(cache)
    if damaged == "a command":
        damage(cache)
    elif damaged == "the manifest":
        (cache.folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    else:
        cache.file.unlink()
    assert not cache.start()

    # When the container starts again, it comes up empty, and says so
    assert cache.start()
    assert cache.ask("dbsize") == "0"
    assert len(cache.aside) == 1
    assert str(cache.aside[0]) in cache.said

    # And what it writes from then on lasts
    assert cache.ask("set", "later", "value") == "OK"
    cache.stop()
    assert cache.start()
    assert cache.ask("dbsize") == "1"


def test_only_the_newest_damaged_file_is_kept(cache: Cache) -> None:
    earlier = cache.folder / "appendonlydir.corrupt-20260101T000000Z"
    earlier.mkdir()
    filled(cache)
    damage(cache)
    assert not cache.start()

    assert cache.start()

    assert len(cache.aside) == 1
    assert not earlier.exists()


def test_torn_end_costs_only_the_last_command(cache: Cache) -> None:
    filled(cache)
    cache.file.write_bytes(cache.file.read_bytes()[:-4])

    assert cache.start()

    assert cache.ask("dbsize") == "19"
    assert cache.aside == []


def test_start_that_was_broken_off_sets_nothing_aside(cache: Cache) -> None:
    filled(cache)
    (cache.folder / "loading").touch()

    assert cache.start()

    assert cache.ask("dbsize") == "20"
    assert cache.aside == []
