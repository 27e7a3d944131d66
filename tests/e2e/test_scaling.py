"""A live autoscaler under load: it scales, and the operator leaves the number of pods to it."""

from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings, Traffic
from rtx_demo.waiting import eventually

# The load runs in the engine's own namespace, beside whatever else sends traffic meanwhile.
NEIGHBOUR = {"name": "traffic", "podLabels": {"app.kubernetes.io/name": "rtx-traffic"}}


def test_load_scales_the_engine_and_the_operator_lets_it(sample: Sample) -> None:
    # given a small engine that scales at a tenth of its requested CPU
    scaling = {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercent": 10}
    with sample.temporary(scaling=scaling, networkPolicy={"extraPeers": [NEIGHBOUR]}) as engine:
        assert deployment(engine)["spec"]["replicas"] == 1
        traffic = Traffic(
            engine.kubectl,
            engine,
            Settings(rate=200, new_per_second=20, sockets=10, accounts=5, duration=0),
            namespace=engine.namespace,
        )

        # when load goes on until there are more pods than the least
        traffic.start()
        traffic.wait_until_sending()
        eventually(lambda: deployment(engine)["spec"]["replicas"] > 1, "more than one replica", deadline=240)

        # then the operator, made to look at the engine anew, does not take them away, and reports them
        touch(engine)
        eventually(lambda: engine.read()["status"]["replicas"]["ready"] > 1, "ready replicas in the status")
        assert deployment(engine)["spec"]["replicas"] > 1
        traffic.remove()


def deployment(engine: Engine) -> Object:
    found = engine.kubectl.get("deployment", f"{engine.name}-engine-blue", engine.namespace)
    assert found
    return found


def touch(engine: Engine) -> None:
    """Change something that the operator watches and that shapes nothing."""
    patch = '{"spec": {"networkPolicy": {"monitoringNamespace": "monitoring"}}}'
    engine.kubectl.run("patch", "te", engine.name, "--namespace", engine.namespace, "--type=merge", "--patch", patch)
