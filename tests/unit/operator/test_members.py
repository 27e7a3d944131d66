"""The servers of a database, by Patroni's reports on their pods."""

from typing import Any

import pytest
from database_reports import pod, primary, replica
from rtx_operator.members import MAX_LAG_BYTES, REPORT, members
from rtx_operator.observation import Object


def in_sync(*pods: Object) -> list[str]:
    return [one.name for one in members(pods).in_sync]


def test_primary_and_the_standbys_that_follow_it_are_in_sync() -> None:
    found = members([replica(2), primary(0), replica(1)])

    assert found.primary
    assert found.primary.name == "rtx-postgres-0"
    assert [one.ordinal for one in found.in_sync] == [0, 1, 2]


@pytest.mark.parametrize(
    "late",
    [
        replica(1, streams=False),
        replica(1, timeline=1),
        replica(1, timeline=2, position=0),
        replica(1, timeline=2, ready=False),  # its node may be lost, and the report is of earlier times
        replica(1, timeline=2, ending=True),
        pod(1),
    ],
    ids=["not streaming", "of an earlier timeline", "far behind", "not ready", "ending", "without a role"],
)
def test_standby_that_could_not_take_over_is_not_in_sync(late: Object) -> None:
    assert in_sync(primary(0, timeline=2, position=MAX_LAG_BYTES + 1), late) == ["rtx-postgres-0"]


def test_pod_that_somebody_gave_the_labels_of_a_server_is_none() -> None:
    # Given a copy of a server's pod, with its labels, as kubectl debug makes on request
    copy = primary(0)
    copy["metadata"]["name"] = "rtx-postgres-debug"

    # Then it counts for nothing, and the servers are told as without it
    assert [one.name for one in members([copy, replica(1), primary(0)]).all] == ["rtx-postgres-0", "rtx-postgres-1"]


def test_of_two_that_lead_the_one_of_the_later_timeline_does() -> None:
    # Given a node that was cut off: nobody has taken the label off its pod yet
    found = members([primary(0, timeline=1), primary(1, timeline=2)])

    assert found.primary
    assert found.primary.name == "rtx-postgres-1"


def test_of_two_that_lead_in_one_timeline_nobody_knows_which_does() -> None:
    assert members([primary(0), primary(1)]).primary is None


@pytest.mark.parametrize("report", ["", "{", "[]", '"running"', '{"timeline":"2","xlog_location":true}'])
def test_report_that_cannot_be_read_tells_nothing(report: str) -> None:
    unread: Any = pod(0, "primary")
    unread["metadata"]["annotations"] = {REPORT: report}

    (found,) = members([unread]).all

    assert (found.state, found.timeline, found.position, found.is_streaming) == ("", None, None, False)
