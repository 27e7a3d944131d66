"""An ordinary blue-green upgrade by hand: the comparison in `bench/upgrade`.

New Deployment, wait until it is ready, point the Service at it, wait, delete the old one. Nothing fences, forwards or
drains: the fence in the database lets both colours execute.
"""

import time
from dataclasses import dataclass
from typing import Any

from rtx_demo.database import psql
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError

OLD_DEPLOYMENT_SECONDS = 10.0  # from the switch of the Service to the deletion of the old Deployment
ROLLOUT_DEADLINE_SECONDS = 120
COLOUR = "rtx-trading.com/colour"
OTHER_COLOUR = {"blue": "green", "green": "blue"}

# The operator's statement, but for both colours: the next epoch, and a notification.
_BOTH_EXECUTE = """
BEGIN;
LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE;
UPDATE rtx_operator.execution_fence SET epoch = epoch + 1, executors = '{blue,green}', cutover = 'ordinary';
SELECT pg_notify('execution_fence', epoch::text) FROM rtx_operator.execution_fence;
COMMIT;
"""

Object = dict[str, Any]


@dataclass(frozen=True)
class OrdinaryUpgrade:
    """Upgrades by hand, on an engine that its operator does not manage (spec.paused)."""

    engine: Engine

    def take_over(self) -> None:
        """Pause the operator for this engine and let both colours execute. Raises DemoError."""
        engine = self.engine
        engine.kubectl.run(
            "patch", "tradingengine", engine.name, "--namespace", engine.namespace, "--type=merge",
            '--patch={"spec":{"paused":true}}',
        )  # fmt: skip
        engine.wait_for("Reconciling", "Paused")
        psql(engine, _BOTH_EXECUTE)

    def prepare(self) -> None:
        """Delete the idle colour's Deployment."""
        self._delete(OTHER_COLOUR[self._serving()])

    def upgrade(self, version: str) -> None:
        """Run the whole procedure. Raises DemoError when the new Deployment does not become ready."""
        old = self._serving()
        new = OTHER_COLOUR[old]
        kubectl, namespace = self.engine.kubectl, self.engine.namespace
        kubectl.apply(self._copy(self._read("deployment", self._name(old)), old, new, version), manager="by-hand")
        kubectl.run(
            "rollout", "status", f"deployment/{self._name(new)}", "--namespace", namespace,
            f"--timeout={ROLLOUT_DEADLINE_SECONDS}s", deadline=ROLLOUT_DEADLINE_SECONDS + 10,
        )  # fmt: skip
        kubectl.run(
            "patch", "service", self._name(), "--namespace", namespace, "--type=merge",
            f'--patch={{"spec":{{"selector":{{"{COLOUR}":"{new}"}}}}}}',
        )  # fmt: skip
        time.sleep(OLD_DEPLOYMENT_SECONDS)
        self._delete(old)

    def _serving(self) -> str:
        colour: str = self._read("service", self._name())["spec"]["selector"][COLOUR]
        return colour

    def _name(self, colour: str = "") -> str:
        return f"{self.engine.name}-engine" + (f"-{colour}" if colour else "")

    def _read(self, kind: str, name: str) -> Object:
        found = self.engine.kubectl.get(kind, name, self.engine.namespace)
        if found is None:
            raise DemoError(f"The {kind} {name} in {self.engine.namespace} does not exist.")
        return found

    def _delete(self, colour: str) -> None:
        self.engine.kubectl.delete("deployment", self._name(colour), self.engine.namespace, deadline=120)

    @staticmethod
    def _copy(deployment: Object, old: str, new: str, version: str) -> Object:
        """The Deployment for the other colour and version."""
        metadata = deployment["metadata"]
        copy: Object = _replace_strings(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"namespace": metadata["namespace"], "labels": metadata["labels"]},
                "spec": deployment["spec"],
            },
            old,
            new,
        )
        copy["metadata"]["name"] = metadata["name"].removesuffix(old) + new
        (container,) = copy["spec"]["template"]["spec"]["containers"]
        repository = container["image"].partition("@")[0].rpartition(":")[0]
        container["image"] = f"{repository}:{version}"
        return copy


def _replace_strings(value: Any, old: str, new: str) -> Any:
    """A copy in which each string equal to `old` is replaced: labels, selectors and environment."""
    if isinstance(value, dict):
        return {key: _replace_strings(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_strings(item, old, new) for item in value]
    return new if value == old else value
