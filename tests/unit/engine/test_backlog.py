"""Unread bytes of all clients together: who leaves the most unread goes first, and nobody goes for what was read."""

from rtx_engine.backlog import Backlog


class Client:
    def __init__(self) -> None:
        self.unread_bytes = 0
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True


def fill(backlog: Backlog, client: Client, size: int) -> None:
    client.unread_bytes = size
    backlog.note(client, size)


def test_largest_clients_are_dropped_until_the_rest_fits() -> None:
    backlog = Backlog(100)
    small, large, larger = Client(), Client(), Client()
    for client, size in ((small, 30), (large, 40), (larger, 50)):
        fill(backlog, client, size)
    assert [client.dropped for client in (small, large, larger)] == [False, False, True]
    # and what they had unread counts no more
    fill(backlog, small, 55)
    assert [small.dropped, large.dropped] == [False, False]


def test_client_that_has_read_meanwhile_is_not_dropped() -> None:
    backlog = Backlog(100)
    quick, late = Client(), Client()
    fill(backlog, quick, 90)
    quick.unread_bytes = 0  # which nobody has noted: it got no message since
    fill(backlog, late, 90)
    assert [quick.dropped, late.dropped] == [False, False]
    fill(backlog, late, 101)
    assert late.dropped


def test_client_that_has_gone_counts_no_more() -> None:
    backlog = Backlog(100)
    first, second = Client(), Client()
    fill(backlog, first, 90)
    fill(backlog, first, 0)
    fill(backlog, second, 90)
    assert not second.dropped
