"""From one database server to three and back: each step follows from what is observed."""

from dataclasses import replace
from typing import Any

import pytest
from database_reports import pod, primary, replica
from rtx_operator.api.enums import Durability
from rtx_operator.desired.database.instances import (
    ALONE,
    ASYNCHRONOUS,
    JOINING,
    QUORUM,
    DatabaseFacts,
    InstancesPlan,
    plan_instances,
)
from rtx_operator.members import members
from rtx_operator.observation import Object
from rtx_operator.patroni import Configuration, Quorum

ONLY_FIRST = Quorum("rtx-postgres-0")
ALL = Quorum("rtx-postgres-0", frozenset({"rtx-postgres-1", "rtx-postgres-2"}))
THREE = (primary(0), replica(1), replica(2))


def facts(*pods: Object, size: int | None, configuration: Configuration | None, **more: Any) -> DatabaseFacts:
    found = DatabaseFacts("rtx-postgres", size, members(pods), configuration, Quorum(), answers=True, has_volumes=True)
    return replace(found, **more)


def planned(asked: int, seen: DatabaseFacts, durability: Durability = Durability.QUORUM) -> InstancesPlan:
    return plan_instances(asked, durability, seen)


# --- the first installation ------------------------------------------------------------------------------------------


def test_new_database_begins_with_as_many_servers_as_spec_asks_for() -> None:
    assert planned(3, facts(size=None, configuration=None)) == InstancesPlan(3, QUORUM)
    assert planned(1, facts(size=None, configuration=None)) == InstancesPlan(1, ALONE)


def test_durability_comes_into_force_once_a_standby_is_in_sync() -> None:
    # Given servers of which Patroni has made the first
    alone = facts(primary(0), pod(1), size=3, configuration=ALONE)

    # Then the data are guarded first, and every commit waits for a standby once there is one
    assert planned(3, alone).configuration == JOINING
    assert planned(3, replace(alone, configuration=JOINING, quorum=ONLY_FIRST)).configuration == JOINING
    joined = facts(primary(0), replica(1), size=3, configuration=JOINING, quorum=ALL)
    assert planned(3, joined).configuration == QUORUM
    assert planned(3, replace(joined, configuration=QUORUM)) == InstancesPlan(3, QUORUM)


def test_asynchronous_comes_into_force_once_both_standbys_are_in_sync() -> None:
    one = facts(primary(0), replica(1), size=3, configuration=JOINING, quorum=ALL)
    both = facts(*THREE, size=3, configuration=JOINING, quorum=ALL)

    assert planned(3, one, Durability.ASYNCHRONOUS).configuration == JOINING
    assert planned(3, both, Durability.ASYNCHRONOUS).configuration == ASYNCHRONOUS


def test_durability_in_force_stays_when_standbys_are_lost() -> None:
    lost = facts(primary(0), size=3, configuration=QUORUM, quorum=ALL)

    assert planned(3, lost) == InstancesPlan(3, QUORUM)


def test_asynchronous_lets_orders_go_on_at_once_when_no_standby_is_left() -> None:
    lost = facts(primary(0), size=3, configuration=QUORUM, quorum=ALL)

    assert planned(3, lost, Durability.ASYNCHRONOUS).configuration == JOINING


# --- from one to three -----------------------------------------------------------------------------------------------


def test_standbys_are_made_once_nobody_else_can_lead() -> None:
    alone = facts(primary(0), size=1, configuration=ALONE)
    assert (planned(3, alone).size, planned(3, alone).configuration) == (1, JOINING)

    guarded = replace(alone, configuration=JOINING)
    assert planned(3, guarded).size == 1
    assert planned(3, replace(guarded, quorum=ONLY_FIRST)).size == 3


def test_no_standby_is_made_while_the_only_server_is_down() -> None:
    # Given a server that does not lead, one that is not ready, and one that does not answer
    for seen in (
        facts(pod(0), size=1, configuration=JOINING, quorum=ONLY_FIRST),
        facts(primary(0, ready=False), size=1, configuration=JOINING, quorum=ONLY_FIRST),
        facts(primary(0), size=1, configuration=JOINING, quorum=ONLY_FIRST, answers=False),
    ):
        # Then no volume of earlier times can be elected in its place
        assert planned(3, seen).size == 1
        assert "once rtx-postgres-0 leads and answers" in planned(3, seen).waits


# --- from three to one -----------------------------------------------------------------------------------------------


def test_first_server_leads_before_the_others_end() -> None:
    # Given another one that leads
    other = facts(replica(0), primary(1), replica(2), size=3, configuration=ASYNCHRONOUS)

    # Then commits wait for standbys first, the first server takes over, and only then the others end
    assert (planned(1, other).size, planned(1, other).configuration) == (3, JOINING)
    assert planned(1, other).switch_to is None
    guarded = replace(other, configuration=JOINING, quorum=Quorum("rtx-postgres-1", frozenset({"rtx-postgres-0"})))
    planned_switch = planned(1, guarded)
    assert planned_switch.switch_to
    assert (planned_switch.size, planned_switch.switch_to.name) == (3, "rtx-postgres-0")
    assert planned(1, facts(*THREE, size=3, configuration=JOINING, quorum=ALL)).size == 1


def test_first_server_that_lacks_commits_does_not_take_over() -> None:
    # Given one that does not stream, and one that is no voter yet
    voters = Quorum("rtx-postgres-1", frozenset({"rtx-postgres-2"}))
    for first in (replica(0, streams=False), replica(0)):
        seen = facts(first, primary(1), replica(2), size=3, configuration=JOINING, quorum=voters)

        # Then all servers stay, and the plan says why
        assert planned(1, seen).switch_to is None
        assert planned(1, seen).size == 3
        assert "once rtx-postgres-0 is in sync with rtx-postgres-1" in planned(1, seen).waits


def test_last_server_writes_less_to_the_api_server_once_it_is_alone() -> None:
    ending = facts(primary(0), replica(1), size=1, configuration=JOINING, quorum=ALL)
    alone = facts(primary(0), size=1, configuration=JOINING, quorum=ONLY_FIRST)

    assert planned(1, ending) == InstancesPlan(1, JOINING, waits="waiting for rtx-postgres-1 to end")
    assert planned(1, alone).configuration == ALONE
    assert planned(1, replace(alone, configuration=ALONE)) == InstancesPlan(1, ALONE)


def test_configuration_that_is_lost_is_made_for_the_servers_that_are_there() -> None:
    assert planned(3, facts(primary(0), size=1, configuration=None)) == InstancesPlan(1, ALONE)


# --- what others do to the StatefulSet -------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [1, 3])
def test_servers_that_somebody_added_to_a_single_one_end_first(asked: int) -> None:
    # Given a single server that is down, and another one, whose volume is of earlier times: it could lead
    scaled = facts(pod(0, ready=False), pod(1), size=2, configuration=ALONE)

    assert planned(asked, scaled).size == 1


def test_number_that_spec_asks_for_holds_while_there_are_no_volumes() -> None:
    assert planned(1, facts(size=None, configuration=QUORUM, has_volumes=False)).size == 1
    assert planned(3, facts(size=None, configuration=ALONE, has_volumes=False)).size == 3
