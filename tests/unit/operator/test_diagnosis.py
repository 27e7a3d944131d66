"""The diagnosis of pods that do not start."""

from typing import Any

import pytest
from rtx_operator.api.enums import Reason
from rtx_operator.desired.state import Workload
from rtx_operator.diagnosis import diagnose
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


@pytest.mark.parametrize(("observation", "reason", "expected"), FAILURES, ids=[reason for _, reason, _ in FAILURES])
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
