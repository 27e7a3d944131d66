"""The database away, Redis away, under load: what is documented happens, and nothing acknowledged is lost."""

from collections.abc import Callable, Iterator

import pytest
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings, Traffic
from rtx_traffic.verdict import Verdict, judge

LOAD = Settings(rate=200, keep_alive=16, new_per_second=30, sockets=20, accounts=10, duration=0)
GRACE = "--grace-period=0"


@pytest.fixture(scope="module")
def engine(sample: Sample) -> Iterator[Engine]:
    with sample.temporary(scaling={"minReplicas": 2, "maxReplicas": 2}) as engine:
        yield engine


def under_load(engine: Engine, fault: Callable[[], object]) -> Verdict:
    """The verdict over a load during which `fault` happened and the engine became whole again."""
    traffic = Traffic(engine.kubectl, engine, LOAD)
    traffic.start()
    traffic.wait_until_sending()
    fault()
    traffic.stop()
    traffic.follow(lambda _: None)
    ledger = traffic.ledger()
    traffic.remove()
    return judge(ledger, database.rows(engine, ledger))


def replace_pod(engine: Engine, name: str) -> None:
    """Kill a pod without a word, and wait until its successor is ready and serves for a while."""
    kubectl = engine.kubectl
    kubectl.run("delete", "pod", name, "--namespace", engine.namespace, GRACE, "--force", "--wait")
    for _ in range(2):  # the first may still see the pod that was
        kubectl.run(
            "rollout", "status", f"statefulset/{name.removesuffix('-0')}", "--namespace", engine.namespace,
            "--timeout=120s", deadline=130,
        )  # fmt: skip
    engine.wait_until_ready()


def test_without_the_database_orders_are_refused_and_none_is_lost(engine: Engine) -> None:
    # given a load, when PostgreSQL is killed and comes back
    verdict = under_load(engine, lambda: replace_pod(engine, f"{engine.name}-postgres-0"))

    # then what failed was told so by a 503 (or found every connection busy with waiting for one, and was never sent),
    # and everything acknowledged is there, once
    assert any(reason.startswith("status 5xx: 503") for reason in verdict.failures)
    told = ("status 5xx: 503", "unsent: every keep-alive connection")
    assert [reason for reason in verdict.failures if not reason.startswith(told)] == []
    assert (verdict.orders_lost, verdict.orders_doubled) == (0, 0)

    # and no WebSocket missed an event: some came late
    assert verdict.websocket_gaps == verdict.websocket_late


def test_without_redis_nothing_fails(engine: Engine) -> None:
    # given a load, when Redis is killed and comes back
    verdict = under_load(engine, lambda: replace_pod(engine, f"{engine.name}-redis-0"))

    # then nothing failed and every event came in time, by way of the database
    assert verdict.findings == ()
    assert verdict.kept
