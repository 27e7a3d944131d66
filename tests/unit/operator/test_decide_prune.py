"""The decision on objects that are not needed any more."""

import copy
from dataclasses import replace

import pytest
from decision_objects import DESIRED, SERVING, child, decided, engine, with_
from rtx_operator.api.status import Cutover
from rtx_operator.observation import Object


def test_only_owned_objects_of_prunable_kinds_are_deleted():
    ours = [child("ConfigMap", "rtx-engine-old"), child("Job", "rtx-migrate-old")]
    kept = [
        child("PersistentVolumeClaim", "data-rtx-postgres-0"),
        child("Secret", "rtx-internal"),
        child("Deployment", "rtx-engine-green"),
        child("Service", "rtx-engine-green"),
        child("StatefulSet", "rtx-other"),
        child("ConfigMap", "theirs", owned=False),
    ]
    terminating = copy.deepcopy(child("ConfigMap", "terminating"))
    terminating["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert decided(engine(active=True), DESIRED, with_(SERVING, *ours, *kept, terminating)).delete == tuple(ours)


@pytest.mark.parametrize(
    ("phase", "conditions", "is_deleted"),
    [
        ("RolledBack", [], True),
        ("RolledBack", [{"type": "Failed", "status": "True"}], False),
        ("RollingBack", [], True),
        ("RollingBack", [{"type": "Failed", "status": "True"}], False),
        ("Migrating", [], False),
    ],
)
def test_job_that_has_not_ended_is_deleted_once_its_cutover_goes_back(
    phase: str, conditions: list[Object], is_deleted: bool
) -> None:
    # Given a migration Job of the last cutover
    since, release = "2026-01-01T12:00:00Z", {"version": "1.1.0", "revision": "h2"}
    cutover = {"id": "1.1.0-x", "phase": phase, "since": since, "startedAt": since}
    cutover |= {"from": {**release, "colour": "blue"}, "to": {**release, "colour": "green"}}
    late = child("Job", "rtx-migrate-h2", status={"conditions": conditions})
    late["metadata"]["labels"] = {"rtx-trading.com/cutover": "1.1.0-x"}
    running = engine(active=True)
    given = replace(running, status=running.status.model_copy(update={"cutover": Cutover.model_validate(cutover)}))

    # When the cutover goes back, then the Job is deleted unless it ran: its logs are kept, and it cannot run late
    assert (late in decided(given, DESIRED, with_(SERVING, late)).delete) is is_deleted
    # When the cutover needs another Job instead, then likewise: two at a time would wait for each other's lock
    replaced = replace(DESIRED, idle=DESIRED.active)
    assert (late in decided(given, replaced, with_(SERVING, late)).delete) is (not conditions)
