"""Which connection gives way when a pod, or an address, has as many as it may."""

from dataclasses import dataclass, replace

from rtx_engine.api.limits import PEER, PRODUCTION, Admission


def test_last_connections_are_for_addresses_that_have_none():
    admission = Admission(replace(PRODUCTION, connections=4, reserved_connections=2))
    admission.opened("stranger")
    admission.opened("stranger")
    assert admission.refusal("stranger").status == 503
    assert admission.refusal("a probe") is None
    admission.opened("a probe")
    admission.opened("another probe")
    assert admission.refusal("a third").status == 503
    # and when one closes, there is room again
    admission.closed("stranger")
    assert admission.refusal("a third") is None


@dataclass(eq=False)
class Connection:
    """An open connection of `address` in `admission`; `busy`: an answer is due on it."""

    admission: Admission
    address: str
    busy: bool = False
    open: bool = True

    def __post_init__(self) -> None:
        assert self.admission.refusal(self.address) is None
        self.admission.opened(self.address, self)

    def give_way(self) -> bool:
        if self.busy:
            return False
        self.open = False
        self.admission.closed(self.address, self)
        return True


def full(*addresses: str, **limits: int) -> tuple[Admission, list[Connection]]:
    """A pod that has no place left, with a stranger's connection from each address."""
    production = replace(PRODUCTION, reserved_connections=0)
    admission = Admission(replace(production, **({"connections": len(addresses)} | limits)))
    return admission, [Connection(admission, address) for address in addresses]


def test_oldest_stranger_of_the_address_that_has_most_gives_way():
    admission, held = full("a", "b", "b", "c", "b", "c")
    Connection(admission, "d")
    Connection(admission, "e")
    # then each has as many as before that, and b no more than one more than c
    assert [connection.open for connection in held] == [True, False, True, False, True, True]


def test_connection_with_an_answer_due_does_not_give_way():
    admission, held = full("a", "a", "a")
    held[0].busy = True
    Connection(admission, "b")
    assert [connection.open for connection in held] == [True, False, True]


def test_address_takes_no_place_of_one_that_would_then_have_fewer():
    admission, _ = full("a", "b", "b")
    assert admission.refusal("a").status == 503
    assert admission.refusal("c") is None


def test_connections_of_an_account_stay_up_to_a_limit():
    # given somebody who shows the same account on all the connections of the pod
    admission, held = full("a", "a", "a", "a", connections_per_account=2)
    assert [admission.shown("a", connection, 7) for connection in held] == [True, True, False, False]
    # when others come
    Connection(admission, "b")
    # then those beyond its limit give way
    assert [connection.open for connection in held] == [True, True, False, True]
    # and a connection that closes leaves room for another one that stays
    admission.closed("a", held[0], 7)
    assert admission.shown("a", held[3], 7)


def test_peers_carry_requests_of_many_accounts():
    admission, held = full("a", "a", "a", connections_per_account=1)
    assert all(admission.shown("a", connection, PEER) for connection in held)
    assert admission.refusal("b").status == 503
