"""A load on an engine while a test breaks something, and the verdict over it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import pytest
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.traffic import Settings, Traffic, Watch
from rtx_traffic.ledger import Ledger
from rtx_traffic.stages import Stage
from rtx_traffic.verdict import Verdict, judge

# Low enough that two cores bear it beside the pods that start, so that only the product can fail a request.
LOAD = Settings(rate=100, keep_alive=16, new_per_second=20, sockets=12, accounts=8, duration=0, pods=2)
DEAD_SOCKET = ("refused", "reset", "closed before the answer")
DATABASE_AWAY = ("status 5xx: 503", "unsent: every keep-alive connection")


@dataclass
class Load:
    """A load that goes on from here to `verdict`."""

    traffic: Traffic
    watch: Watch
    began: float  # Unix seconds
    ledger: Ledger | None = None  # once it has ended
    gone_through: int = 0  # tests

    def failed(self) -> int:
        """Failed requests, as the traffic pods last said, a second ago or so; of all, once it has ended."""
        return self.watch.progress().failed if self.ledger is None else self._failed_of_all(self.ledger)

    def failed_by_now(self) -> int:
        """Failed requests up to this moment, for which the pods' next words are waited for."""
        if self.ledger is not None:
            return self._failed_of_all(self.ledger)
        return self.watch.progress_at(time.time() - self.began).failed

    def end(self) -> Ledger:
        """Let the run end; its ledger."""
        if self.ledger is None:
            self.traffic.stop()
            self.watch.wait_until_ended()
            self.ledger = self.traffic.ledger()
        return self.ledger

    def verdict(self, *, broken: str = "") -> Verdict:
        """End it and judge all of it; what the version `broken` answered with 500 itself is counted apart."""
        ledger = self.end()
        whole = [Stage("all", float("-inf"), float("inf"), broken)] if broken else []
        return judge(ledger, database.rows(self.traffic.engine, ledger), whole)

    def watch_anew(self) -> None:
        """Read the pods' lines again: the streams of before may have broken with the API server."""
        self.watch.close()
        self.watch = Watch(self.traffic)
        self.watch.wait_until_sending()

    @staticmethod
    def _failed_of_all(ledger: Ledger) -> int:
        return sum(bool(request.failed) for request in ledger.requests())


@contextmanager
def load(engine: Engine, settings: Settings = LOAD) -> Iterator[Load]:
    """A load on the engine's live Service, sending by now."""
    traffic = Traffic(engine.kubectl, engine, settings)
    began = traffic.start()
    loaded = Load(traffic, Watch(traffic), began)
    try:
        loaded.watch.wait_until_sending()
        yield loaded
    finally:
        loaded.watch.close()
        traffic.remove()


@contextmanager
def nothing_fails(loaded: Load) -> Iterator[None]:
    """No request fails inside the block, up to its last moment."""
    before = loaded.failed()
    yield
    assert loaded.failed_by_now() == before


def assert_kept(verdict: Verdict) -> None:
    """Every promise was kept, and there were orders to keep it of."""
    assert verdict.findings == ()
    assert verdict.kept
    assert verdict.orders_acknowledged > 0


def assert_kept_over_all(loaded: Load) -> None:
    """Every promise was kept over the tests before; skips after none: one that failed has taken its load with it."""
    if not loaded.gone_through:
        pytest.skip("this load has gone through no test: none ran before, or the last one failed, which says the rest")
    assert_kept(loaded.verdict())


def assert_nothing_lost(verdict: Verdict) -> None:
    """Requests may have failed and events may be late; every other promise was kept, and there were orders."""
    missed = verdict.websocket_gaps - verdict.websocket_late
    forgiven = msgspec.structs.replace(verdict, failed_requests=0, websocket_gaps=missed)
    assert forgiven.kept, verdict.findings
    assert verdict.orders_acknowledged > 0
