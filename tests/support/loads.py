"""A load on an engine while a test breaks something, and the verdict over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
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
    ledger: Ledger | None = None  # once it has ended

    def failed(self) -> int:
        """Failed requests up to now, as the traffic pods say; of all, once it has ended."""
        if self.ledger is not None:
            return sum(bool(request.failed) for request in self.ledger.requests())
        return self.watch.progress().failed

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


@contextmanager
def load(engine: Engine, settings: Settings = LOAD) -> Iterator[Load]:
    """A load on the engine's live Service, sending by now."""
    traffic = Traffic(engine.kubectl, engine, settings)
    traffic.start()
    loaded = Load(traffic, Watch(traffic))
    try:
        loaded.watch.wait_until_sending()
        yield loaded
    finally:
        loaded.watch.close()
        traffic.remove()


@contextmanager
def nothing_fails(loaded: Load) -> Iterator[None]:
    """No request fails inside the block."""
    before = loaded.failed()
    yield
    assert loaded.failed() == before


def assert_kept(verdict: Verdict) -> None:
    """Every promise was kept, and there were orders to keep it of."""
    assert verdict.findings == ()
    assert verdict.kept
    assert verdict.orders_acknowledged > 0


def assert_nothing_lost(verdict: Verdict) -> None:
    """Requests may have failed and events may be late; every other promise was kept, and there were orders."""
    missed = verdict.websocket_gaps - verdict.websocket_late
    forgiven = msgspec.structs.replace(verdict, failed_requests=0, websocket_gaps=missed)
    assert forgiven.kept, verdict.findings
    assert verdict.orders_acknowledged > 0
