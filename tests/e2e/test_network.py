"""NetworkPolicies allow the connections that the system needs, and refuse every other one."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rtx_demo import manifests
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Kubectl
from rtx_demo.reachability import Place

STRANGER_NAMESPACE = manifests.TRAFFIC_NAMESPACE
SLEEP_COMMAND = ["python3", "-c", "import signal; signal.pause()"]


@dataclass(frozen=True)
class Places:
    """The pods from which tests connect."""

    engine: Place
    postgres: Place
    client: Place  # has the label that the sample's extraPeers names
    stranger: Place  # in the client's namespace, without that label
    neighbour: Place  # in the engine's namespace, without any label


@pytest.fixture(scope="module")
def places(engine: Engine) -> Iterator[Places]:
    kubectl = engine.kubectl
    kubectl.apply(manifests.namespace(STRANGER_NAMESPACE))
    made = [
        ("client", STRANGER_NAMESPACE, manifests.TRAFFIC_LABELS),
        ("stranger", STRANGER_NAMESPACE, {}),
        ("neighbour", engine.namespace, {}),
    ]
    kubectl.apply(
        *(
            manifests.pod(name, namespace, image=manifests.TRAFFIC_IMAGE, command=SLEEP_COMMAND, labels=labels)
            for name, namespace, labels in made
        )
    )
    for name, namespace, _ in made:
        kubectl.run("wait", "--for=condition=Ready", f"pod/{name}", "--namespace", namespace, "--timeout=60s")
    yield Places(
        engine=Place(kubectl, engine.namespace, engine_pod(engine)),
        postgres=Place(kubectl, engine.namespace, f"{engine.name}-postgres-0"),
        client=Place(kubectl, STRANGER_NAMESPACE, "client"),
        stranger=Place(kubectl, STRANGER_NAMESPACE, "stranger"),
        neighbour=Place(kubectl, engine.namespace, "neighbour"),
    )
    for name, namespace, _ in made:
        kubectl.delete("pod", name, namespace)


def engine_pod(engine: Engine) -> str:
    pods = engine.kubectl.list("pods", engine.namespace, "app.kubernetes.io/component=engine")
    name: str = pods[0]["metadata"]["name"]
    return name


def address(kubectl: Kubectl, engine: Engine, target: str) -> tuple[str, int]:
    """Host and port of a part of the system. The host is a pod's own address, so that no Service is involved."""
    if target == "api-server":
        endpoint = kubectl.list("endpointslices", "default", "kubernetes.io/service-name=kubernetes")[0]
        return endpoint["endpoints"][0]["addresses"][0], endpoint["ports"][0]["port"]
    if target == "dns-metrics":
        pod = kubectl.list("pods", "kube-system", "k8s-app=kube-dns")[0]
        return pod["status"]["podIP"], 9153
    component, port = {
        "engine": ("engine", 7999),
        "engine-metrics": ("engine", 9090),
        "postgres": ("database", 5432),
        "redis": ("cache", 6379),
    }[target]
    pod = kubectl.list("pods", engine.namespace, f"app.kubernetes.io/component={component}")[-1]
    return pod["status"]["podIP"], port


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("client", "engine"),
        ("engine", "engine"),
        ("engine", "postgres"),
        ("engine", "redis"),
        ("postgres", "api-server"),  # which has Patroni's lock
    ],
)
def test_needed_connection_is_allowed(engine: Engine, places: Places, source: str, target: str) -> None:
    # Given a pod of a running system.
    place: Place = getattr(places, source)

    # When it connects to a pod that it needs.
    # Then the connection is allowed.
    assert place.reaches(*address(engine.kubectl, engine, target))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("stranger", "engine"),
        ("stranger", "postgres"),
        ("stranger", "redis"),
        ("client", "postgres"),
        ("client", "redis"),
        ("client", "engine-metrics"),
        ("neighbour", "engine"),
        ("neighbour", "postgres"),
        ("neighbour", "redis"),
        ("engine", "api-server"),
        ("engine", "dns-metrics"),
        ("postgres", "redis"),
        ("postgres", "engine"),
        ("postgres", "dns-metrics"),
    ],
)
def test_other_connection_is_refused(engine: Engine, places: Places, source: str, target: str) -> None:
    # Given a pod of a running system.
    place: Place = getattr(places, source)

    # When it connects to a pod that it does not need.
    # Then the connection is refused.
    assert not place.reaches(*address(engine.kubectl, engine, target))


def test_refused_connection_is_allowed_where_no_policy_applies(engine: Engine, places: Places) -> None:
    # Given a pod that no NetworkPolicy selects.
    kubectl = engine.kubectl
    listen = "import socket,time; s=socket.create_server(('', 7999)); time.sleep(3600)"
    pod = manifests.pod("open", STRANGER_NAMESPACE, image=manifests.TRAFFIC_IMAGE, command=["python3", "-c", listen])
    kubectl.apply(pod)
    kubectl.run("wait", "--for=condition=Ready", "pod/open", "--namespace", STRANGER_NAMESPACE, "--timeout=60s")
    try:
        running = kubectl.get("pod", "open", STRANGER_NAMESPACE)
        assert running

        # When a pod connects to it that no other pod lets in.
        # Then the connection is allowed: only the policies refused the others.
        assert places.stranger.reaches(running["status"]["podIP"], 7999)
    finally:
        kubectl.delete("pod", "open", STRANGER_NAMESPACE)
