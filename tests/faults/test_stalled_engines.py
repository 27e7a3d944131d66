"""An engine that cannot start: Ready names the cause and the remedy, and `kubectl get te -o wide` shows both."""

from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from rtx_demo.engine import Condition, Engine
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_operator.api.enums import ConditionType, Reason

NO_SUCH_CLASS = "e2e-nowhere"
REASON_DEADLINE_SECONDS = 180
QUOTA: Object = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "full"},
    "spec": {"hard": {"pods": "2"}},
}


@dataclass(frozen=True)
class Cause:
    """Something that keeps an engine from starting, and what its condition Ready reports."""

    reason: Reason
    words: list[str]  # in the message: a person needs them to act
    spec: Object = field(default_factory=dict)
    objects: list[Object] = field(default_factory=list)  # in the engine's namespace


CAUSES = {
    "a Secret that does not exist": Cause(
        Reason.CREDENTIALS_MISSING,
        words=["absent", "create"],
        spec={"credentialsSecretRef": {"name": "absent"}},
    ),
    "an image that does not exist": Cause(
        Reason.IMAGE_UNAVAILABLE,
        words=["localhost/no-such-engine:1.0.0", "spec.image"],
        spec={"image": {"repository": "localhost/no-such-engine"}},
    ),
    "a volume that cannot be bound": Cause(
        Reason.VOLUME_UNBOUND,
        words=[NO_SUCH_CLASS],
        spec={"database": {"storageClassName": NO_SUCH_CLASS}},
    ),
    "a database that cannot run": Cause(
        Reason.CRASH_LOOPING,
        words=["rtx-postgres-0"],
        spec={"database": {"image": "localhost/rtx-redis:8"}},
    ),
    "a quota that is full": Cause(Reason.QUOTA_EXCEEDED, words=["quota"], objects=[QUOTA]),
}


def test_condition_ready_names_the_cause_and_the_remedy(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    # Given an engine for each cause.
    with ExitStack() as stack:
        engines = {
            name: stack.enter_context(sample.temporary(*cause.objects, ready=False, **cause.spec))
            for name, cause in CAUSES.items()
        }

        # When the operator has reconciled them.
        conditions = {
            name: engine.wait_for(ConditionType.READY, CAUSES[name].reason, deadline=REASON_DEADLINE_SECONDS)
            for name, engine in engines.items()
        }
        with capsys.disabled():
            print_table(engines, conditions)

        # Then Ready has the cause as its reason, and its message has what a person needs to act.
        for name, condition in conditions.items():
            for word in CAUSES[name].words:
                assert word in condition.message, f"the message for {name} does not contain {word!r}"


def test_engine_becomes_ready_once_the_cause_is_removed(sample: Sample) -> None:
    # Given an engine whose pods a full quota refuses.
    with sample.temporary(QUOTA, ready=False, scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        engine.wait_for(ConditionType.READY, Reason.QUOTA_EXCEEDED, deadline=REASON_DEADLINE_SECONDS)

        # When the quota is deleted.
        engine.kubectl.delete("resourcequota", "full", engine.namespace)

        # Then the engine becomes ready without any other change.
        engine.wait_until_ready()


def print_table(engines: dict[str, Engine], conditions: dict[str, Condition]) -> None:
    print()
    for name, engine in engines.items():
        print(f"\n{name}:\n$ kubectl get te\n{engine.line().split('MESSAGE')[0].rstrip()}")
        print(f"{engine.line().splitlines()[1][:110]}\n{conditions[name].reason}: {conditions[name].message}")
