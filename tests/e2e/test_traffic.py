"""An open-loop load inside the cluster: no request fails, and the database agrees with the clients' ledger."""

import pytest
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.traffic import Settings, Traffic
from rtx_traffic.ledger import Ledger
from rtx_traffic.verdict import judge

# A third of the demo's load: two cores must be enough for the engine, the load and pods that the autoscaler starts.
LOAD = Settings(rate=200, keep_alive=32, new_per_second=35, sockets=40, accounts=20, duration=30)


@pytest.fixture(scope="module")
def ledger(engine: Engine) -> Ledger:
    """The ledger of one run of the load."""
    traffic = Traffic(engine.kubectl, engine, LOAD)
    traffic.start()
    traffic.follow(print)
    ledger = traffic.ledger()
    traffic.remove()
    return ledger


def test_no_request_fails_and_the_database_agrees_with_the_ledger(engine: Engine, ledger: Ledger) -> None:
    # Given the ledger of 200 requests/s for 30 s, with 35 new connections/s and 40 WebSockets.
    # When the ledger is compared with the database.
    verdict = judge(ledger, database.rows(engine, ledger))

    # Then no request failed, no order was lost or doubled, no event was missed, and all due requests were sent.
    assert verdict.findings == ()
    assert verdict.kept
    assert verdict.requests == LOAD.rate * LOAD.duration + LOAD.sockets + verdict.websocket_reconnects
    assert verdict.orders_acknowledged > 0.7 * LOAD.rate * LOAD.duration
    assert verdict.websocket_events > verdict.orders_acknowledged


def test_comparison_finds_an_order_that_was_deleted(engine: Engine, ledger: Ledger) -> None:
    # Given the same ledger, and one of its orders deleted from the database with the fence's trigger bypassed.
    client_order_id = next(order.client_order_id for _, order, _ in ledger.acknowledged())
    deletion = "SET session_replication_role = replica; DELETE FROM orders WHERE client_order_id = :'id';"
    database.psql(engine, deletion, id=client_order_id)

    # When the ledger is compared with the database.
    verdict = judge(ledger, database.rows(engine, ledger))

    # Then exactly that order is lost.
    assert verdict.orders_lost == 1
    assert verdict.findings[0] == f"Order {client_order_id} was acknowledged and is not in the database."


def test_fence_refuses_a_session_that_is_no_executor(engine: Engine) -> None:
    # Given a session that is no executor.
    # When it deletes orders.
    # Then the database refuses it.
    with pytest.raises(Exception, match="may not execute"):
        database.psql(engine, "DELETE FROM orders;")
