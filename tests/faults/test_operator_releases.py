"""Five engines under load live through an upgrade of the operator, in either order with its CRD, and a downgrade."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import yaml
from loads import Load, assert_kept
from rtx_demo import database, installation
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Kubectl, Object
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings, Traffic, Watch
from rtx_operator.api.enums import ConditionType, Reason
from rtx_operator.observation import FENCE_SCHEMA
from system_fixtures import ROOT
from testbed import Testbed
from upgrades import Upgrades, assert_succeeded, upgradable

PREVIOUS, PRESENT = "localhost/rtx-operator:0.9.0", "localhost/rtx-operator:dev"
PREVIOUS_PATCH = ROOT / "operator/releases/0.9.0.patch"
PRESENT_DEFINITIONS = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("rtx-*.yaml"))]
ENGINES = 5
# All five together send less than one load of other tests: they run side by side on the same processors.
LIGHT = Settings(rate=12, keep_alive=3, new_per_second=2, sockets=2, accounts=2, duration=0, pods=1)
SMALL_REQUESTS: Object = {"requests": {"cpu": "50m", "memory": "128Mi"}}
SMALL: Object = {
    "scaling": {"minReplicas": 1, "maxReplicas": 1},
    "resources": {**SMALL_REQUESTS, "limits": {"cpu": "1", "memory": "512Mi"}},
    "database": {"resources": SMALL_REQUESTS},
    "cache": {"resources": SMALL_REQUESTS},
}


@dataclass(frozen=True)
class Operator:
    """The operator and its CRDs on the cluster, each of which can be of either release."""

    kubectl: Kubectl

    def run(self, image: str) -> None:
        """Replace the operator by `image`, and wait until its pods run."""
        where = ("--namespace", installation.NAMESPACE)
        self.kubectl.run("set", "image", f"deployment/{installation.DEPLOYMENT}", f"operator={image}", *where)
        installation.wait_until_running(self.kubectl)

    def definitions(self) -> list[Object]:
        """The CRDs of the release that runs."""
        where = ("--namespace", installation.NAMESPACE)
        printed = self.kubectl.run("exec", f"deployment/{installation.DEPLOYMENT}", *where, "--", "rtx-operator", "crd")
        return list(yaml.safe_load_all(printed))

    def apply(self, definitions: list[Object]) -> None:
        """Replace the CRDs, and wait until the API server has accepted them."""
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions})
        self.kubectl.run("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=given)
        established = ("--for=condition=Established", "--timeout=30s")
        self.kubectl.run("wait", *established, *(f"crd/{one['metadata']['name']}" for one in definitions))


@dataclass(frozen=True)
class Fleet:
    """The engines, and what must not change of them."""

    engines: list[Engine]

    def pods(self) -> dict[str, int]:
        """Pod (namespace/name/uid) → restarts, of engines, databases and caches."""
        found = {}
        for engine in self.engines:
            for pod in engine.kubectl.list("pods", engine.namespace, "app.kubernetes.io/component!=migration"):
                meta, statuses = pod["metadata"], pod["status"].get("containerStatuses", [])
                name = f"{meta['namespace']}/{meta['name']}/{meta['uid']}"
                found[name] = sum(status["restartCount"] for status in statuses)
        return found

    def cutovers(self) -> list[str]:
        """The ids of all cutovers that there were."""
        statuses = [Upgrades(engine).status() for engine in self.engines]
        return [status["cutover"]["id"] for status in statuses if status.get("cutover")]

    def wait_for(self, reason: Reason) -> None:
        """Wait until the operator says so in UpToDate of every engine: then it has reconciled all."""
        for engine in self.engines:

            def says(status: Object) -> bool:
                return any(
                    (one["type"], one["reason"]) == (ConditionType.UP_TO_DATE, reason)
                    for one in status.get("conditions", [])
                )

            Upgrades(engine).wait(says, f"UpToDate with reason {reason} in {engine.namespace}")

    def fence_versions(self) -> set[str]:
        version = "SELECT max(version) FROM rtx_operator.fence_schema;"
        return {database.psql(engine, version).strip() for engine in self.engines}


@pytest.fixture(scope="module")
def operator(kubectl: Kubectl) -> Iterator[Operator]:
    """The earlier release with its CRD; at the end this release and its CRD again."""
    operator = Operator(kubectl)
    try:
        operator.run(PREVIOUS)
        operator.apply(operator.definitions())
        yield operator
    finally:
        operator.apply(PRESENT_DEFINITIONS)
        operator.run(PRESENT)


@pytest.fixture(scope="module")
def fleet(operator: Operator, sample: Sample, testbed: Testbed) -> Iterator[Fleet]:
    """Engines that the earlier release has made."""
    testbed.discard()
    with ExitStack() as running:
        yield Fleet([running.enter_context(upgradable(sample, **SMALL)) for _ in range(ENGINES)])


def loads(fleet: Fleet, running: ExitStack) -> list[Load]:
    """A load on each engine, until `running` ends."""
    found = []
    for number, engine in enumerate(fleet.engines):
        traffic = Traffic(engine.kubectl, engine, LIGHT, name=f"rtx-traffic-{number}")
        running.callback(traffic.remove)
        began = traffic.start()
        watch = Watch(traffic)
        running.callback(watch.close)
        watch.wait_until_sending()
        found.append(Load(traffic, watch, began))
    return found


def test_releases_of_the_operator_touch_nothing_that_runs(operator: Operator, fleet: Fleet) -> None:
    # Given five engines under load, made by the earlier release.
    with ExitStack() as running:
        loaded = loads(fleet, running)
        fleet.wait_for(Reason.AS_SPECIFIED)
        previous, present = operator.definitions(), PRESENT_DEFINITIONS
        pods, cutovers = fleet.pods(), fleet.cutovers()
        assert previous != present
        assert cutovers == []
        assert fleet.fence_versions() == set(
            re.findall(r"^\+FENCE_SCHEMA = (\d+)", PREVIOUS_PATCH.read_text(), re.MULTILINE)
        )

        # When the CRD is upgraded, and then the operator.
        operator.apply(present)
        operator.run(PRESENT)

        # Then it says of each engine that a newer shape is there, and has updated the fences.
        fleet.wait_for(Reason.REFRESH_AVAILABLE)
        assert fleet.fence_versions() == {str(FENCE_SCHEMA)}

        # When the operator is taken back, and then its CRD.
        operator.run(PREVIOUS)
        fleet.wait_for(Reason.AS_SPECIFIED)
        operator.apply(previous)

        # And when the operator is upgraded, and then the CRD.
        operator.run(PRESENT)
        fleet.wait_for(Reason.REFRESH_AVAILABLE)
        operator.apply(present)
        for engine in fleet.engines:
            # A field that only this CRD has, at its default: it asks for no other revision.
            Upgrades(engine).patch(config={"logLevel": "INFO"})
            Upgrades(engine).wait_until_reconciled()
        fleet.wait_for(Reason.REFRESH_AVAILABLE)

        # Then not one pod was replaced or restarted, no cutover began, and no request failed.
        assert fleet.pods() == pods
        assert fleet.cutovers() == []
        for load in loaded:
            assert_kept(load.verdict())


def test_newer_shape_comes_when_it_is_asked_for(operator: Operator, fleet: Fleet) -> None:
    # Given an engine as the earlier release made it, and the present release.
    fleet.wait_for(Reason.REFRESH_AVAILABLE)
    engine, *others = fleet.engines
    upgrades, pods = Upgrades(engine), Fleet(others).pods()

    # When its annotation gets a new value.
    annotation = ("rtx-trading.com/refresh=1", "--namespace", engine.namespace)
    engine.kubectl.run("annotate", "tradingengine", engine.name, *annotation)

    # Then one cutover brings what this release makes, and the other engines are left alone.
    assert_succeeded(upgrades, upgrades.wait_until_over())
    Fleet([engine]).wait_for(Reason.AS_SPECIFIED)
    Fleet(others).wait_for(Reason.REFRESH_AVAILABLE)
    assert Fleet(others).pods() == pods
