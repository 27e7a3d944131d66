"""Unread bytes of all clients together: who leaves the most unread goes first, and nobody goes for what was read."""

from rtx_engine.backlog import Backlog


class Client:
    def __init__(self, owner: str = "") -> None:
        self.owner = owner or id(self)
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


def test_owner_of_many_small_ones_gives_way_before_another_ones_large_one() -> None:
    backlog = Backlog(100)
    crowd = [Client("crowd") for _ in range(10)]
    for client in crowd:
        fill(backlog, client, 8)
    # when somebody else leaves more unread than any of them
    other = Client("other")
    fill(backlog, other, 28)
    # then the crowd gives way, by no more than is needed
    assert not other.dropped
    assert [client.dropped for client in crowd].count(True) == 1
    # and whoever else has the most, once it has less
    fill(backlog, other, 90)
    assert other.dropped
    assert [client.dropped for client in crowd].count(True) == 1


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
