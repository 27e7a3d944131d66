"""Places for logins and forwards: however many somebody asks for, there is one for whoever has none."""

import contextlib

import pytest
from rtx_engine.api.errors import ApiError
from rtx_engine.api.login_places import IN_ALL, OF_USER, Group, LoginPlaces


class Crowd:
    """Logins that are under way until they are let go."""

    def __init__(self, places: LoginPlaces) -> None:
        self.places = places
        self.under_way = contextlib.ExitStack()

    def enters(self, group: Group, address: str, user: str) -> bool:
        try:
            self.under_way.enter_context(self.places.take(group, address, user))
        except ApiError:
            return False
        return True


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(LoginPlaces())


@pytest.mark.parametrize("group", Group)
def test_users_who_work_together_at_an_address_leave_places_to_other_addresses(crowd: Crowd, group: Group) -> None:
    # given 64 users who log in as often as they may
    entered = [crowd.enters(group, "192.0.2.1", f"user {number}") for _ in range(5) for number in range(64)]

    # then they have a fifth of the places, and others at many addresses have theirs
    assert sum(entered) <= IN_ALL / 4
    assert all(crowd.enters(group, f"198.51.100.{number}", "alice") for number in range(40))


def test_last_places_are_for_addresses_that_have_none(crowd: Crowd) -> None:
    # given 32 addresses that take turns to want more
    for number in range(64):
        for address in range(32):
            crowd.enters(Group.KNOWN, f"192.0.2.{address}", f"user {number}")

    # then there is a place for one that comes later, and its user is not kept out by who logs in as them elsewhere
    assert crowd.enters(Group.KNOWN, "198.51.100.1", "user 1")


def test_user_has_a_few_places_of_their_address(crowd: Crowd) -> None:
    entered = [crowd.enters(Group.KNOWN, "192.0.2.1", "alice") for _ in range(20)]

    assert sum(entered) == OF_USER
    assert crowd.enters(Group.KNOWN, "192.0.2.1", "bob")
    assert crowd.enters(Group.HOLDERS, "192.0.2.1", "alice")


def test_places_are_free_again_after_use(crowd: Crowd) -> None:
    first = [crowd.enters(Group.KNOWN, "192.0.2.1", f"user {number}") for number in range(64)]
    crowd.under_way.close()

    assert [crowd.enters(Group.KNOWN, "192.0.2.1", f"user {number}") for number in range(64)] == first
