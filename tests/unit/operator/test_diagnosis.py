"""What is said about pods that do not come up."""

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


def seen(*pods: Object, warnings: tuple[Object, ...] = (), children: dict[tuple[str, str], Object] | None = None):
    return Observation(children=children or {}, pods=pods, warnings=warnings)


UNPLACED = pod(
    conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes available"}
    ]
)
ENDED = {"terminated": {"exitCode": 3, "reason": "Error", "message": "DB_HOST is not set"}}

FINDINGS = [
    (
        seen(warnings=(warning("rtx-engine-blue-5d8", "FailedCreate", 'pods "x" forbidden: exceeded quota: q'),)),
        Reason.QUOTA_EXCEEDED,
        "ResourceQuota",
    ),
    (
        seen(warnings=(warning("rtx-engine-blue-5d8", "FailedCreate", "violates PodSecurity"),)),
        Reason.PODS_REFUSED,
        "violates PodSecurity",
    ),
    (seen(UNPLACED), Reason.UNSCHEDULABLE, "0/3 nodes available"),
    (seen(waiting("ErrImageNeverPull", "not present")), Reason.IMAGE_UNAVAILABLE, "repo/engine:1.0.0"),
    (seen(waiting("ImagePullBackOff", "Back-off")), Reason.IMAGE_UNAVAILABLE, "spec.imagePullSecrets"),
    (seen(waiting("CreateContainerConfigError", 'secret "x" not found')), Reason.CONTAINER_CANNOT_START, "not found"),
    (seen(waiting("CrashLoopBackOff", **ENDED)), Reason.CRASH_LOOPING, "exit code 3, Error: DB_HOST is not set"),
]


@pytest.mark.parametrize(("observation", "reason", "said"), FINDINGS, ids=[reason for _, reason, _ in FINDINGS])
def test_what_is_wrong_with_a_pod_is_named_and_what_helps_is_said(observation: Observation, reason: Reason, said: str):
    finding = diagnose(observation, ENGINE)

    assert finding is not None
    assert finding.reason == reason
    assert said in finding.message


def test_the_kubelets_two_ways_to_say_that_a_pull_failed_read_the_same():
    error = 'failed to resolve reference "repo/engine:1.0.0": dial tcp 127.0.0.1:80: connection refused'
    first = diagnose(seen(waiting("ErrImagePull", error)), ENGINE)
    then = diagnose(seen(waiting("ImagePullBackOff", f'Back-off pulling image "x": ErrImagePull: {error}')), ENGINE)

    assert first == then
    assert first is not None
    assert "(dial tcp 127.0.0.1:80: connection refused)" in first.message


def test_pods_that_just_take_their_time_are_no_finding():
    assert diagnose(seen(waiting("ContainerCreating"), waiting("PodInitializing")), ENGINE) is None
    assert diagnose(seen(), ENGINE) is None


def test_an_old_quota_warning_means_nothing_once_the_pods_are_there():
    old = warning("rtx-engine-blue-5d8", "FailedCreate", "exceeded quota")

    assert diagnose(seen(waiting("ContainerCreating"), warnings=(old,)), ENGINE) is None


def test_a_warning_about_another_workload_is_not_ours():
    other = warning("rtx-engine-blue-x-5d8-1", "FailedCreate", "exceeded quota")

    assert diagnose(seen(warnings=(other,)), ENGINE) is None


def test_a_volume_that_cannot_be_bound_is_named_with_its_storage_class():
    name = "data-rtx-postgres-0"
    claim = {"metadata": {"name": name}, "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}}
    said = 'storageclass.storage.k8s.io "fast" not found'
    observation = seen(
        warnings=(warning(name, "ProvisioningFailed", said),), children={("PersistentVolumeClaim", name): claim}
    )
    finding = diagnose(observation, DATABASE)

    assert finding is not None
    assert finding.reason == Reason.VOLUME_UNBOUND
    assert said in finding.message
    assert diagnose(observation, ENGINE) is None
