"""Three in the morning: something is wrong, and `kubectl get te -o wide` says what and what to do."""

from contextlib import ExitStack

import pytest
from rtx_demo.engine import Condition, Engine
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample

NO_VOLUMES = "e2e-nowhere"
QUOTA: Object = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "full"},
    "spec": {"hard": {"pods": "2"}},
}
# What is wrong, the reason that Ready gives, and words that its message must hold for a person to act on.
TROUBLES: dict[str, tuple[list[Object], Object, str, list[str]]] = {
    "a Secret that is not there": (
        [],
        {"credentialsSecretRef": {"name": "absent"}},
        "CredentialsMissing",
        ["absent", "create"],
    ),
    "an image that does not exist": (
        [],
        {"image": {"repository": "localhost/no-such-engine"}},
        "ImageUnavailable",
        ["localhost/no-such-engine:1.0.0", "spec.image"],
    ),
    "a volume that cannot be bound": (
        [],
        {"database": {"storageClassName": NO_VOLUMES}},
        "VolumeUnbound",
        [NO_VOLUMES],
    ),
    "a database that cannot run": (
        [],
        {"database": {"image": "localhost/rtx-redis:8"}},
        "CrashLooping",
        ["rtx-postgres-0"],
    ),
    "a quota that is full": ([QUOTA], {}, "QuotaExceeded", ["quota"]),
}


def test_each_trouble_is_told_with_what_to_do(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    # given engines that each have something wrong with them
    with ExitStack() as stack:
        engines = {
            what: stack.enter_context(sample.temporary(*beforehand, ready=False, **spec))
            for what, (beforehand, spec, _, _) in TROUBLES.items()
        }

        # when the operator has looked at them, then Ready names the trouble, and holds what one needs to act
        told = {what: engine.wait_for("Ready", TROUBLES[what][2], deadline=180) for what, engine in engines.items()}
        with capsys.disabled():
            print_table(engines, told)
        for what, condition in told.items():
            for word in TROUBLES[what][3]:
                assert word in condition.message, what


def test_a_repaired_trouble_goes_away_by_itself(sample: Sample) -> None:
    # given an engine that a full quota keeps from running
    with sample.temporary(QUOTA, ready=False, scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        engine.wait_for("Ready", "QuotaExceeded", deadline=180)

        # when the quota is lifted, then it becomes ready without anything else being done
        engine.kubectl.delete("resourcequota", "full", engine.namespace)
        engine.wait_until_ready()


def print_table(engines: dict[str, Engine], told: dict[str, Condition]) -> None:
    print()
    for what, engine in engines.items():
        print(f"\n{what}:\n$ kubectl get te\n{engine.line().split('MESSAGE')[0].rstrip()}")
        print(f"{engine.line().splitlines()[1][:110]}\n{told[what].reason}: {told[what].message}")
