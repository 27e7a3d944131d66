"""The promise: an open-loop load inside the cluster fails nothing, and the database agrees with the client's ledger."""

import pytest
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.traffic import Settings, Traffic
from rtx_traffic.ledger import Ledger
from rtx_traffic.verdict import judge

# A third of the demo's: whatever else the machine does meanwhile, such as starting the pods that an autoscaler wants,
# two cores have to be enough for both the engine and the load that is measured by.
LOAD = Settings(rate=200, keep_alive=32, new_per_second=35, sockets=40, accounts=20, duration=30)


@pytest.fixture(scope="module")
def ledger(engine: Engine) -> Ledger:
    """Of one run of the demo's load."""
    traffic = Traffic(engine.kubectl, engine, LOAD)
    traffic.start()
    traffic.follow(print)
    ledger = traffic.ledger()
    traffic.remove()
    return ledger


def test_nothing_fails_and_the_ledger_is_equal(engine: Engine, ledger: Ledger) -> None:
    # given 200 requests a second for 30 s, with 35 new connections a second and 40 WebSockets
    # when the ledger is compared with the database
    verdict = judge(ledger, database.rows(engine, ledger))

    # then nothing failed, was lost, doubled or missed, and it was as many requests as were due
    assert verdict.findings == ()
    assert verdict.kept
    assert verdict.requests == LOAD.rate * LOAD.duration + LOAD.sockets + verdict.websocket_reconnects
    assert verdict.orders_acknowledged > 0.7 * LOAD.rate * LOAD.duration
    assert verdict.websocket_events > verdict.orders_acknowledged


def test_the_comparison_can_fail(engine: Engine, ledger: Ledger) -> None:
    # given the same ledger, when one of its orders is taken out of the real database, behind the fence's back
    client_order_id = next(order.client_order_id for _, order, _ in ledger.acknowledged())
    deletion = "SET session_replication_role = replica; DELETE FROM orders WHERE client_order_id = :'id';"
    database.psql(engine, deletion, id=client_order_id)

    # then exactly that one is lost
    verdict = judge(ledger, database.rows(engine, ledger))
    assert verdict.orders_lost == 1
    assert verdict.findings[0] == f"Order {client_order_id} was acknowledged and is not in the database."


def test_the_fence_refuses_what_no_colour_does(engine: Engine) -> None:
    # given a session that is no executor, when it deletes an order, then the database refuses it
    with pytest.raises(Exception, match="may not execute"):
        database.psql(engine, "DELETE FROM orders;")
