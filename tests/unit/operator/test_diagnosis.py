"""The diagnosis of pods that do not start."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rtx_operator.api.enums import Reason
from rtx_operator.desired.state import Workload
from rtx_operator.diagnosis import diagnose, lost_pod
from rtx_operator.observation import Object, Observation

ENGINE = Workload("Deployment", "rtx-engine-blue", {"component": "engine"})
DATABASE = Workload("StatefulSet", "rtx-postgres", {"component": "database"})


def pod(**status: Any) -> Object:
    return {"metadata": {"name": "p-1", "labels": {"component": "engine"}}, "status": status}


def waiting(reason: str, message: str = "", **last: Any) -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(containerStatuses=[{"name": "engine", "image": "repo/engine:1.0.0", "state": state, "lastState": last}])


def warning(name: str, reason: str, message: str) -> Object:
    return {"reason": reason, "message": message, "involvedObject": {"name": name}, "lastTimestamp": "2026-01-01"}


def observed(*pods: Object, warnings: tuple[Object, ...] = (), children: dict[tuple[str, str], Object] | None = None):
    return Observation(children=children or {}, pods=pods, warnings=warnings)


UNPLACED = pod(
    conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes available"}
    ]
)
ENDED = {"terminated": {"exitCode": 3, "reason": "Error", "message": "DB_HOST is not set"}}

NO_REPLICA_SET = {
    "metadata": {"name": "rtx-engine-blue"},
    "spec": {"replicas": 3},
    "status": {
        "conditions": [
            {
                "type": "Progressing",
                "status": "False",
                "reason": "ReplicaSetCreateError",
                "message": 'Failed to create new replica set "rtx-engine-blue-5d8": denied by policy',
            }
        ]
    },
}

FAILURES = [
    (
        observed(warnings=(warning("rtx-engine-blue-5d8", "FailedCreate", 'pods "x" forbidden: exceeded quota: q'),)),
        Reason.QUOTA_EXCEEDED,
        "ResourceQuota",
    ),
    (
        observed(warnings=(warning("rtx-engine-blue-5d8", "FailedCreate", "violates PodSecurity"),)),
        Reason.PODS_REFUSED,
        "violates PodSecurity",
    ),
    (
        observed(children={("Deployment", "rtx-engine-blue"): NO_REPLICA_SET}),
        Reason.PODS_REFUSED,
        "denied by policy",
    ),
    (
        observed(waiting("ContainerCreating"), warnings=(warning("p-1", "FailedMount", 'secret "keys" not found'),)),
        Reason.VOLUME_NOT_MOUNTED,
        'secret "keys" not found; create what is missing, or correct spec.extraVolumes',
    ),
    (observed(UNPLACED), Reason.UNSCHEDULABLE, "0/3 nodes available"),
    (observed(waiting("ErrImageNeverPull", "not present")), Reason.IMAGE_UNAVAILABLE, "repo/engine:1.0.0"),
    (observed(waiting("ImagePullBackOff", "Back-off")), Reason.IMAGE_UNAVAILABLE, "spec.imagePullSecrets"),
    (
        observed(waiting("CreateContainerConfigError", 'secret "x" not found')),
        Reason.CONTAINER_CANNOT_START,
        "not found",
    ),
    (observed(waiting("CrashLoopBackOff", **ENDED)), Reason.CRASH_LOOPING, "exit code 3, Error: DB_HOST is not set"),
]


@pytest.mark.parametrize(("observation", "reason", "expected"), FAILURES, ids=[expected for _, _, expected in FAILURES])
def test_diagnosis_has_reason_and_remedy(observation: Observation, reason: Reason, expected: str):
    failure = diagnose(observation, ENGINE)

    assert failure is not None
    assert failure.reason == reason
    assert expected in failure.message


def test_both_pull_errors_of_the_kubelet_give_one_message():
    error = 'failed to resolve reference "repo/engine:1.0.0": dial tcp 127.0.0.1:80: connection refused'
    first = diagnose(observed(waiting("ErrImagePull", error)), ENGINE)
    then = diagnose(observed(waiting("ImagePullBackOff", f'Back-off pulling image "x": ErrImagePull: {error}')), ENGINE)

    assert first == then
    assert first is not None
    assert "(dial tcp 127.0.0.1:80: connection refused)" in first.message


def test_starting_pods_are_no_failure():
    assert diagnose(observed(waiting("ContainerCreating"), waiting("PodInitializing")), ENGINE) is None
    assert diagnose(observed(), ENGINE) is None


def test_quota_warning_is_ignored_once_the_pods_exist():
    old = warning("rtx-engine-blue-5d8", "FailedCreate", "exceeded quota")

    assert diagnose(observed(waiting("ContainerCreating"), warnings=(old,)), ENGINE) is None


def test_warning_about_another_workload_is_ignored():
    other = warning("rtx-engine-blue-x-5d8-1", "FailedCreate", "exceeded quota")

    assert diagnose(observed(warnings=(other,)), ENGINE) is None


def test_unbound_volume_is_reported_with_its_storage_class():
    # Given a pending claim with a warning of its provisioner
    name = "data-rtx-postgres-0"
    claim = {"metadata": {"name": name}, "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}}
    cause = 'storageclass.storage.k8s.io "fast" not found'
    observation = observed(
        warnings=(warning(name, "ProvisioningFailed", cause),), children={("PersistentVolumeClaim", name): claim}
    )
    # When the database is diagnosed
    failure = diagnose(observation, DATABASE)

    # Then the failure has the warning, and the engine has none
    assert failure is not None
    assert failure.reason == Reason.VOLUME_UNBOUND
    assert cause in failure.message
    assert diagnose(observation, ENGINE) is None


def test_mount_that_failed_before_the_container_ran_is_no_failure():
    earlier = warning("p-1", "FailedMount", "timed out waiting for the cache")

    assert (
        diagnose(
            observed(pod(containerStatuses=[{"name": "engine", "state": {"running": {}}}]), warnings=(earlier,)), ENGINE
        )
        is None
    )


def test_job_that_a_limit_range_refuses_names_the_field_that_helps():
    job = Workload("Job", "rtx-migrate-1", {"batch.kubernetes.io/job-name": "rtx-migrate-1"})
    refused = warning("rtx-migrate-1", "FailedCreate", "minimum cpu usage per Container is 1")

    failure = diagnose(observed(warnings=(refused,)), job)

    assert failure is not None
    assert "spec.rollout.migrationResources" in failure.message


# --- pods that do not end --------------------------------------------------------------------------------------------

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ending(since: str) -> Object:
    meta = {"name": "rtx-postgres-0", "namespace": "trading", "labels": {"component": "database"}}
    return {"metadata": {**meta, "deletionTimestamp": since}, "spec": {"nodeName": "node2"}, "status": {}}


def test_pod_that_its_node_does_not_end_is_reported_with_node_commands_and_risk():
    failure = lost_pod(observed(ending("2026-01-01T11:50:00Z")), DATABASE, NOON)

    assert failure is not None
    assert failure.reason is Reason.NODE_LOST
    assert "kubectl taint nodes node2 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in failure.message
    assert "kubectl delete pod rtx-postgres-0 -n trading --force" in failure.message
    assert "Risk" in failure.message


def test_pod_that_has_time_to_end_is_not_lost():
    assert lost_pod(observed(ending("2026-01-01T11:59:30Z")), DATABASE, NOON) is None
