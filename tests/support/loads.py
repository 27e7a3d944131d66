"""A load on an engine while a test breaks something, and the verdict on it."""

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

# Low enough for two cores that also start pods: a failed request is then the product's fault, not the machine's.
LOAD = Settings(rate=100, keep_alive=16, new_per_second=20, sockets=12, accounts=8, duration=0, pods=2)
CONNECTION_ERRORS = ("refused", "reset", "closed before the answer")
# Reads queue for a database that is away, and an account may have only a share of what is free there (429).
DATABASE_OUTAGE_ERRORS = ("status 5xx: 503", "status 4xx: 429 TooManyRequests", "unsent: every keep-alive connection")


@dataclass
class Load:
    """A load that sends until `end` or `verdict`."""

    traffic: Traffic
    watch: Watch
    began: float  # Unix seconds
    ledger: Ledger | None = None  # set when the load has ended
    completed_tests: int = 0  # that ran under this load

    def failed_requests(self) -> int:
        """Failed requests as the traffic pods last reported, about a second ago; the ledger's after the end."""
        return self.watch.progress().failed if self.ledger is None else self._failed_of_all(self.ledger)

    def failed_requests_by_now(self) -> int:
        """Failed requests up to this moment: waits for the traffic pods' next report."""
        if self.ledger is not None:
            return self._failed_of_all(self.ledger)
        return self.watch.progress_at(time.time() - self.began).failed

    def end(self) -> Ledger:
        """End the load, once. Returns its ledger."""
        if self.ledger is None:
            self.traffic.stop()
            self.watch.wait_until_ended()
            self.ledger = self.traffic.ledger()
        return self.ledger

    def verdict(self, *, broken: str = "") -> Verdict:
        """End the load and judge all of it; 500s sent by the version `broken` itself are counted separately."""
        ledger = self.end()
        whole = [Stage("all", float("-inf"), float("inf"), broken)] if broken else []
        return judge(ledger, database.rows(self.traffic.engine, ledger), whole)

    def reopen_watch(self) -> None:
        """Follow the traffic pods' logs anew: an outage of the API server breaks the open streams."""
        self.watch.close()
        self.watch = Watch(self.traffic)
        self.watch.wait_until_sending()

    @staticmethod
    def _failed_of_all(ledger: Ledger) -> int:
        return sum(bool(request.failed) for request in ledger.requests())


@contextmanager
def running_load(engine: Engine, settings: Settings = LOAD) -> Iterator[Load]:
    """Inside the block a load sends requests to the engine's live Service."""
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
def no_request_fails(loaded: Load) -> Iterator[None]:
    """Fails the test when a request failed inside the block."""
    before = loaded.failed_requests()
    yield
    failed = loaded.failed_requests_by_now() - before
    assert failed == 0, f"{failed} requests failed that should have succeeded"


def assert_kept(verdict: Verdict) -> None:
    """Every promise was kept, by a load whose orders were acknowledged."""
    assert verdict.findings == ()
    assert verdict.kept, f"a promise was broken, or the load did not do all its work: {verdict}"
    assert verdict.orders_acknowledged > 0, "the load proves nothing: no order was acknowledged"


def assert_kept_across_tests(loaded: Load) -> None:
    """Every promise was kept during all tests that this load ran through.

    Skips when there was none: a failed test takes its load with it, and has reported that load's verdict.
    """
    if not loaded.completed_tests:
        pytest.skip("no test has completed under this load: none ran before this one, or the last one failed")
    assert_kept(loaded.verdict())


def assert_nothing_lost(verdict: Verdict) -> None:
    """Every promise was kept, except that requests may have failed and events may have come late."""
    missed = verdict.websocket_gaps - verdict.websocket_late
    remaining = msgspec.structs.replace(verdict, failed_requests=0, websocket_gaps=missed)
    assert remaining.kept, f"a promise was broken: {verdict.findings}"
    assert verdict.orders_acknowledged > 0, "the load proves nothing: no order was acknowledged"
