"""The autoscaler scales the engine under load, and the operator leaves the replicas to it."""

from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings, Traffic
from rtx_demo.waiting import eventually

# The load runs in the engine's own namespace, so that it does not share pods' names with other loads.
NEIGHBOUR = {"name": "traffic", "podLabels": {"app.kubernetes.io/name": "rtx-traffic"}}


def test_operator_keeps_the_replicas_that_the_autoscaler_sets(sample: Sample) -> None:
    # Given a small engine that scales out at a tenth of its requested CPU.
    scaling = {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercent": 10}
    with sample.temporary(scaling=scaling, networkPolicy={"extraPeers": [NEIGHBOUR]}) as engine:
        assert deployment(engine)["spec"]["replicas"] == 1
        traffic = Traffic(
            engine.kubectl,
            engine,
            Settings(rate=200, new_per_second=20, sockets=10, accounts=5, duration=0),
            namespace=engine.namespace,
        )

        # When a load runs until the autoscaler has set more than minReplicas.
        traffic.start()
        traffic.wait_until_sending()
        eventually(lambda: deployment(engine)["spec"]["replicas"] > 1, "more than one replica", deadline=240)

        # When the operator reconciles the engine.
        trigger_reconcile(engine)

        # Then it keeps the replicas and reports them.
        eventually(lambda: engine.read()["status"]["replicas"]["ready"] > 1, "ready replicas in the status")
        assert deployment(engine)["spec"]["replicas"] > 1
        traffic.remove()


def deployment(engine: Engine) -> Object:
    found = engine.kubectl.get("deployment", f"{engine.name}-engine-blue", engine.namespace)
    assert found
    return found


def trigger_reconcile(engine: Engine) -> None:
    """Change a field of the spec that changes no pod."""
    patch = '{"spec": {"networkPolicy": {"monitoringNamespace": "monitoring"}}}'
    engine.kubectl.run("patch", "te", engine.name, "--namespace", engine.namespace, "--type=merge", "--patch", patch)
