"""What the watches delivered: the newest version counts, and absence is known only when it is proven."""

import json
from typing import Any

import pytest
from rtx_operator.cluster.client import FIELD_MANAGER
from rtx_operator.cluster.resources import AUTOSCALER, CONFIG_MAP, POD, SERVICE
from rtx_operator.cluster.watched import VersionsWentBackError, WatchedObjects, is_from_watch, owned_fields
from rtx_operator.members import REPORT, report_of
from rtx_operator.observation import Object

ENGINE = ("trading", "rtx")
LABELS = {"rtx-trading.com/engine": "rtx"}


def an_object(version: int, *, name: str = "one", uid: str = "u1", labels: Any = LABELS, **fields: Any) -> Object:
    fields_v1 = {"f:spec": {f"f:{name}": {} for name in fields}}
    entries = [
        {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields_v1, "time": str(version)},
        {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:status": {}}},
    ]
    meta = {"name": name, "namespace": "trading", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": {**meta, "managedFields": entries}, **fields}


class World:
    """WatchedObjects, and how often it has called for a reconcile."""

    def __init__(self) -> None:
        self.reconciles: list[tuple[str, str]] = []
        self.watched = WatchedObjects(self.reconciles.append)

    def specs(self) -> list[Any]:
        return [found.get("spec") for found in self.watched.of(ENGINE, [SERVICE, CONFIG_MAP, AUTOSCALER])]

    def news(self) -> int:
        count, self.reconciles[:] = len(self.reconciles), []
        return count


@pytest.fixture
def world() -> World:
    return World()


def test_newest_version_of_an_object_is_kept(world: World) -> None:
    world.watched.put(SERVICE, an_object(1, spec="old"))
    world.watched.put(SERVICE, an_object(2, spec="new"))

    assert world.specs() == ["new"]
    assert world.news() == 2


def test_version_that_goes_backwards_changes_nothing(world: World) -> None:
    # Given the response to a write of the operator, which is newer than the watch
    world.watched.put(SERVICE, an_object(7, spec="written"))
    world.news()

    # When the watch delivers an event from before the write
    world.watched.put(SERVICE, an_object(6, spec="stale"))

    # Then the next read sees the write
    assert world.specs() == ["written"]
    assert world.news() == 0


def test_echo_of_an_own_write_calls_for_no_reconcile(world: World) -> None:
    world.watched.put(SERVICE, an_object(7, spec="written"))
    world.news()

    world.watched.put(SERVICE, an_object(7, spec="written"))

    assert world.news() == 0


def test_status_of_an_autoscaler_calls_for_no_reconcile_and_is_still_kept(world: World) -> None:
    world.watched.put(AUTOSCALER, an_object(1, spec="same", status={"currentReplicas": 2}))
    world.news()

    world.watched.put(AUTOSCALER, an_object(2, spec="same", status={"currentReplicas": 3}))

    (found,) = world.watched.of(ENGINE, [AUTOSCALER])
    assert (found["status"], found["metadata"]["resourceVersion"]) == ({"currentReplicas": 3}, "2")
    assert world.news() == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"spec": "other"},
        {"spec": "same", "status": {"phase": "Bound"}},
        {"spec": "same", "labels": {**LABELS, "more": "labels"}},
        {"spec": "same", "uid": "u2"},
    ],
)
def test_change_that_a_decision_may_read_calls_for_a_reconcile(world: World, changed: Any) -> None:
    world.watched.put(SERVICE, an_object(1, spec="same"))
    world.news()

    world.watched.put(SERVICE, an_object(2, **changed))

    assert world.news() == 1


def test_field_that_another_manager_took_calls_for_a_reconcile(world: World) -> None:
    world.watched.put(SERVICE, an_object(1, spec="same"))
    world.news()
    taken = an_object(2, spec="same")
    taken["metadata"]["managedFields"][0]["fieldsV1"] = {"f:spec": {}}

    world.watched.put(SERVICE, taken)

    assert world.news() == 1


def test_owned_fields_are_the_same_of_the_live_object_and_of_the_one_kept(world: World) -> None:
    live = an_object(1, spec="same")
    world.watched.put(SERVICE, live)

    (found,) = world.watched.of(ENGINE, [SERVICE])

    assert owned_fields(found) == owned_fields(live) != []
    assert (is_from_watch(found), is_from_watch(live)) == (True, False)


def test_kind_is_incomplete_until_all_of_it_was_listed(world: World) -> None:
    world.watched.put(SERVICE, an_object(1))
    assert not world.watched.is_complete("trading", [SERVICE])

    world.watched.completed(SERVICE, [("trading", "one")], 1)

    assert world.watched.is_complete("trading", [SERVICE])
    assert not world.watched.is_complete("trading", [SERVICE, CONFIG_MAP])


def test_broken_watch_makes_its_kind_incomplete(world: World) -> None:
    world.watched.completed(SERVICE, [], 1)

    world.watched.broken(SERVICE)

    assert not world.watched.is_complete("trading", [SERVICE])


def test_object_deleted_while_the_watch_was_away_is_gone_after_the_list(world: World) -> None:
    # Given two objects, of which one is deleted while the watch is away
    world.watched.put(SERVICE, an_object(1, name="stays", uid="u1", spec="stays"))
    world.watched.put(SERVICE, an_object(2, name="goes", uid="u2", spec="goes"))
    world.news()

    # When the kind is listed again
    world.watched.put(SERVICE, an_object(1, name="stays", uid="u1", spec="stays"))
    world.watched.completed(SERVICE, [("trading", "stays")], 9)

    # Then it is gone, and its engine is reconciled
    assert world.specs() == ["stays"]
    assert world.news() == 1


def test_object_created_after_a_list_survives_its_end(world: World) -> None:
    # Given an object that the operator created while a list that began earlier was under way
    world.watched.put(SERVICE, an_object(12, spec="created"))

    world.watched.completed(SERVICE, [], 9)

    assert world.specs() == ["created"]


def test_list_of_one_kind_leaves_the_others(world: World) -> None:
    world.watched.put(CONFIG_MAP, an_object(1, spec="settings"))

    world.watched.completed(SERVICE, [], 9)

    assert world.specs() == ["settings"]


def test_deleted_object_is_dropped(world: World) -> None:
    world.watched.put(SERVICE, an_object(1))
    world.news()

    world.watched.remove(SERVICE, an_object(5))

    assert world.specs() == []
    assert world.news() == 1


def test_late_news_of_a_deletion_leaves_the_object_that_came_after_it(world: World) -> None:
    # Given an object that the operator has created again
    world.watched.put(SERVICE, an_object(8, uid="u2", spec="new"))

    # When the watch tells of the old one's deletion
    world.watched.remove(SERVICE, an_object(7, uid="u1"))

    assert world.specs() == ["new"]


def test_late_response_to_an_own_write_brings_no_deleted_object_back(world: World) -> None:
    # Given an own write, and a deletion by somebody, of which the watch has told both
    world.watched.put(SERVICE, an_object(11))
    world.watched.remove(SERVICE, an_object(12))
    world.watched.passed(SERVICE, 12)

    # When the response to the write comes after them
    world.watched.wrote(SERVICE, an_object(11))

    assert world.specs() == []


def test_response_to_an_own_write_is_kept_before_the_watch_tells_of_it(world: World) -> None:
    world.watched.completed(SERVICE, [], 9)

    world.watched.wrote(SERVICE, an_object(10, spec="written"))

    assert world.specs() == ["written"]


def test_object_whose_deletion_a_finalizer_holds_up_stays_after_the_own_delete(world: World) -> None:
    # Given an object that the operator deletes, and of which the watch tells that it is being deleted
    read = an_object(5, spec="is being deleted")
    world.watched.put(SERVICE, an_object(6, spec="is being deleted"))

    # When the response to the delete comes after that
    world.watched.remove(SERVICE, read)

    assert world.specs() == ["is being deleted"]


def test_list_older_than_what_the_watch_has_told_is_an_error(world: World) -> None:
    world.watched.completed(SERVICE, [], 900)
    world.watched.passed(SERVICE, 1000)
    world.watched.broken(SERVICE)

    with pytest.raises(VersionsWentBackError, match=r"Service is as of 500, and 1000 was told before"):
        world.watched.completed(SERVICE, [], 500)


def test_object_that_changes_its_engine_leaves_the_old_one(world: World) -> None:
    world.watched.put(SERVICE, an_object(1))

    world.watched.put(SERVICE, an_object(2, labels={"rtx-trading.com/engine": "other"}))

    assert world.specs() == []
    assert len(world.watched.of(("trading", "other"), [SERVICE])) == 1


def test_what_is_read_may_be_changed_without_harm(world: World) -> None:
    world.watched.put(SERVICE, an_object(1, spec={"selector": "blue"}))

    world.watched.of(ENGINE, [SERVICE])[0]["spec"]["selector"] = "green"

    assert world.specs() == [{"selector": "blue"}]


def reported(version: int, **report: Any) -> Object:
    """A pod of the database as Patroni reports it."""
    pod = an_object(version)
    pod["metadata"]["annotations"] = {REPORT: json.dumps({"state": "running", "timeline": 1, **report}), "team": "data"}
    return pod


def test_position_of_a_database_server_calls_for_no_reconcile_and_is_still_kept(world: World) -> None:
    world.watched.put(POD, reported(1, xlog_location=10))
    world.news()

    # When it has written on, and so reports
    world.watched.put(POD, reported(2, xlog_location=20, receive_lsn=20, replay_lsn=20))

    (pod,) = world.watched.of(ENGINE, [POD])
    assert (report_of(pod)["xlog_location"], pod["metadata"]["annotations"]["team"]) == (20, "data")
    assert world.news() == 0


def test_server_that_reports_something_else_calls_for_a_reconcile(world: World) -> None:
    world.watched.put(POD, reported(1, xlog_location=10, replication_state="streaming"))
    world.news()

    world.watched.put(POD, reported(2, xlog_location=10))

    assert world.news() == 1
