"""NetworkPolicies, shown by connections: the allowed ones come about, every other one is refused."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rtx_demo import manifests
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Kubectl
from rtx_demo.reachability import Place

STRANGER_NAMESPACE = manifests.TRAFFIC_NAMESPACE
SLEEP = ["python3", "-c", "import signal; signal.pause()"]


@dataclass(frozen=True)
class Places:
    """From where is tried; each is a pod."""

    engine: Place
    postgres: Place
    client: Place  # has the label that the sample's extraPeers names
    stranger: Place  # is in the client's namespace without it
    neighbour: Place  # is in the engine's namespace, and nobody in particular


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
            manifests.pod(name, namespace, image=manifests.TRAFFIC_IMAGE, command=SLEEP, labels=labels)
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


def address(kubectl: Kubectl, engine: Engine, what: str) -> tuple[str, int]:
    """Host and port of a part of the system, as a pod's own address: Services would add their own rules."""
    if what == "api-server":
        endpoint = kubectl.list("endpointslices", "default", "kubernetes.io/service-name=kubernetes")[0]
        return endpoint["endpoints"][0]["addresses"][0], endpoint["ports"][0]["port"]
    if what == "dns-metrics":
        pod = kubectl.list("pods", "kube-system", "k8s-app=kube-dns")[0]
        return pod["status"]["podIP"], 9153
    component, port = {
        "engine": ("engine", 7999),
        "engine-metrics": ("engine", 9090),
        "postgres": ("database", 5432),
        "redis": ("cache", 6379),
    }[what]
    pod = kubectl.list("pods", engine.namespace, f"app.kubernetes.io/component={component}")[-1]
    return pod["status"]["podIP"], port


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("client", "engine"),
        ("engine", "engine"),
        ("engine", "postgres"),
        ("engine", "redis"),
    ],
)
def test_what_the_system_needs_is_allowed(engine: Engine, places: Places, source: str, target: str) -> None:
    # given the pods of a running system, when one connects to what it needs, then the connection comes about
    place: Place = getattr(places, source)
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
        ("postgres", "api-server"),
    ],
)
def test_everything_else_is_refused(engine: Engine, places: Places, source: str, target: str) -> None:
    # given the same pods, when one connects to what it has no business with, then it is refused
    place: Place = getattr(places, source)
    assert not place.reaches(*address(engine.kubectl, engine, target))


def test_without_a_policy_the_refused_connection_comes_about(engine: Engine, places: Places) -> None:
    # given a stranger and a pod that no policy selects, when it connects, then nothing but the policy stood in its way
    kubectl = engine.kubectl
    listen = "import socket,time; s=socket.create_server(('', 7999)); time.sleep(3600)"
    pod = manifests.pod("open", STRANGER_NAMESPACE, image=manifests.TRAFFIC_IMAGE, command=["python3", "-c", listen])
    kubectl.apply(pod)
    kubectl.run("wait", "--for=condition=Ready", "pod/open", "--namespace", STRANGER_NAMESPACE, "--timeout=60s")
    try:
        running = kubectl.get("pod", "open", STRANGER_NAMESPACE)
        assert running
        assert places.stranger.reaches(running["status"]["podIP"], 7999)
    finally:
        kubectl.delete("pod", "open", STRANGER_NAMESPACE)
