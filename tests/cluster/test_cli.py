"""`kubectl tradingengine` with the real kubectl, API server and operator."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster_support import Cluster, Engine, eventually
from plugin import plugin
from rtx_cli.exits import ExitCode
from rtx_operator.api.enums import ConditionStatus, ConditionType, CutoverPhase, Reason

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Plugin:
    """The plugin in the namespace of an engine."""

    cluster: Cluster
    namespace: str

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return plugin(("kubectl", f"--kubeconfig={self.cluster.kubeconfig}"), self.namespace, *words)

    def done(self, *words: str) -> str:
        """Its output; it must succeed."""
        ended = self.run(*words)
        assert ended.returncode == ExitCode.OK, ended
        return ended.stdout


@pytest.fixture
def cli(engine: Engine) -> Plugin:
    return Plugin(engine.cluster, engine.namespace)


@pytest.fixture
def ready(engine: Engine, cli: Plugin) -> Engine:
    """A ready engine of version 1.0.0, for which the plugin has waited."""
    engine.apply()
    cli.done("wait", "--for", "ready")
    return engine


@pytest.fixture
def person(cluster: Cluster, namespace: str) -> Callable[[str], str]:
    """Gives a person a role of Kubernetes in the namespace, and returns their name."""
    cluster.kubectl("apply", "-f", str(ROOT / "manifests/operator/roles.yaml"))

    def named(role: str) -> str:
        name = f"{role}-{namespace}"
        cluster.kubectl("create", "rolebinding", name, f"--clusterrole={role}", f"--user={name}", "-n", namespace)
        return name

    return named


def test_engine_is_seen_and_examined_with_the_role_view(
    ready: Engine, cli: Plugin, person: Callable[[str], str]
) -> None:
    # Given a ready engine, and a person with the role view in its namespace alone
    viewer = f"--as={person('view')}"
    eventually(lambda: cli.run("status", "rtx", viewer).returncode == ExitCode.OK, "the role includes TradingEngines")

    # Then they see its parts, and nothing is kept from them
    tree = cli.done("status", "rtx", viewer)
    for part in ("rtx-engine-blue-", "rtx-postgres-0", "rtx-redis-0", "version 1.0.0, active", "Serving"):
        assert part in tree, tree
    assert "you may not list" not in tree
    document = json.loads(cli.done("status", "rtx", "-o", "json", viewer))
    assert document["engine"]["active"]["colour"] == "blue"

    # And doctor finds no problem, without the right to see the operator
    findings = cli.run("doctor", "rtx", viewer)
    assert findings.returncode == ExitCode.OK, findings
    assert "the operator's Deployment" in findings.stdout

    # But they change nothing
    refused = cli.run("pause", "rtx", viewer)
    assert (refused.returncode, refused.stderr.count("\n")) == (ExitCode.ERROR, 1)
    assert "ask for the role edit" in refused.stderr


def test_diff_judges_as_the_operator_does(ready: Engine, cli: Plugin) -> None:
    # Given what the operator found up to date
    ready.wait_condition(ConditionType.UP_TO_DATE, ConditionStatus.TRUE)
    generation = (ready.child("te", "rtx") or {})["metadata"]["generation"]

    # Then a version is a cutover, what shapes no pod is none, and the plugin judges what runs as the operator does
    assert "a cutover from version 1.0.0 to 1.1.0" in cli.done("diff", "rtx", "1.1.0")
    scaled = {**ready.manifest, "spec": {**ready.manifest["spec"], "scaling": {"minReplicas": 2, "maxReplicas": 6}}}
    file = ready.cluster.kubeconfig.parent / f"{ready.namespace}.json"
    file.write_text(json.dumps(scaled))
    try:
        text = cli.done("diff", "-f", str(file))
    finally:
        file.unlink()
    assert "spec.scaling.maxReplicas" in text
    assert "no pod is replaced" in text
    assert "differently" not in text

    # And the API server refuses what it would refuse, and has stored nothing
    assert "must be a semantic version" in cli.run("diff", "rtx", "v2").stderr
    assert (ready.child("te", "rtx") or {})["metadata"]["generation"] == generation


def test_pause_and_resume(ready: Engine, cli: Plugin) -> None:
    cli.done("pause", "rtx")
    ready.wait_condition(ConditionType.RECONCILING, ConditionStatus.FALSE, Reason.PAUSED)
    assert cli.run("upgrade", "rtx", "1.1.0").returncode == ExitCode.STALLED
    cli.done("resume")
    cli.done("wait", "--for", "at-rest")


def test_upgrade_is_aborted_followed_and_rejected(ready: Engine, cli: Plugin) -> None:
    # Given a cutover whose new pods start: kwok's pods answer no smoke test, so it will not succeed
    cli.done("upgrade", "rtx", "1.1.0", "--no-wait")
    eventually(lambda: "cutover" in ready.status(), "the cutover begins")

    # When it is aborted, then spec is back, and so is the engine
    assert "aborted: version 1.0.0 runs" in cli.done("abort", "rtx")
    assert (ready.child("te", "rtx") or {})["spec"]["version"] == "1.0.0"
    cli.done("wait", "rtx")

    # When it is tried again and followed, then the operator rolls it back, and the code says so
    ended = cli.run("upgrade", "rtx", "1.1.0")
    assert ended.returncode == ExitCode.ROLLED_BACK, ended
    assert CutoverPhase.TESTING in ended.stdout
    assert "was rolled back, 1.0.0 runs" in ended.stderr

    # Then another try ends at once, and names retry; history has both cutovers, and the engine can be set back
    again = cli.run("upgrade", "rtx", "1.1.0")
    assert again.returncode == ExitCode.ROLLED_BACK
    assert "kubectl tradingengine retry rtx" in again.stderr
    assert cli.run("doctor", "rtx").returncode == ExitCode.FOUND
    assert cli.done("history", "rtx").count(CutoverPhase.ROLLED_BACK) == 2
    cli.done("upgrade", "rtx", "1.0.0")
