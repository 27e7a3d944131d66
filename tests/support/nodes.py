"""Signals to processes of containers. Works on the native cluster only."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.waiting import eventually
from rtx_lab.faults import pod_processes, signal_all

ENGINE_HTTP_PORT = 7999
READY_TIMEOUT_SECONDS = 120
TCP_ESTABLISHED = "01"  # in /proc/net/tcp


def processes(pod: Object, program: str) -> list[int]:
    """The process ids, on this machine, of the pod's processes whose command line contains `program`."""
    return pod_processes(pod["metadata"]["uid"], program)


def send_signal(pod: Object, program: str, number: signal.Signals) -> None:
    """Send a signal to a pod's program, without the kubelet; AssertionError when no such process runs."""
    pids = processes(pod, program)
    assert pids, f"pod {pod['metadata']['name']} has no process whose command line contains {program}"
    signal_all(pids, number)


def connections(pod: Object, program: str, port: int) -> int:
    """The number of clients that are connected to a port of the pod."""
    pid = processes(pod, program)[0]
    tables = [Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    rows = [line.split() for line in itertools.chain(*tables)]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == TCP_ESTABLISHED for row in rows)


def busiest_pod(pods: list[Object]) -> Object:
    """The pod with the most connections: a Service may send all clients of one address to one pod."""
    by_connections = {connections(pod, "rtx-engine", ENGINE_HTTP_PORT): pod for pod in pods}
    assert max(by_connections) > 0, "no engine pod has a connection from a client"
    return by_connections[max(by_connections)]


def has_restarted(engine: Engine, pod: Object) -> bool:
    """Whether the pod's container was restarted and is ready."""
    found = engine.kubectl.get("pod", pod["metadata"]["name"], engine.namespace) or {}
    (container,) = found["status"]["containerStatuses"]
    return bool(container["restartCount"] and container["ready"])


def pod_of(engine: Engine, component: str) -> Object:
    """The one pod of a component."""
    found: Object = engine.kubectl.list("pods", engine.namespace, f"app.kubernetes.io/component={component}")[0]
    return found


def replace_pod(engine: Engine, part: str) -> None:
    """Delete the one pod of a StatefulSet without grace period, and wait until its replacement is ready."""
    kubectl, name = engine.kubectl, f"{engine.name}-{part}"
    where = ("--namespace", engine.namespace)
    kubectl.run("delete", "pod", f"{name}-0", *where, "--grace-period=0", "--force", "--wait")
    eventually(lambda: kubectl.get("pod", f"{name}-0", engine.namespace), f"a new pod {name}-0")
    ready = ("--for=condition=Ready", f"--timeout={READY_TIMEOUT_SECONDS}s")
    kubectl.run("wait", f"pod/{name}-0", *where, *ready, deadline=READY_TIMEOUT_SECONDS + 10)


@contextmanager
def frozen(pod: Object, program: str) -> Iterator[None]:
    """Inside the block the pod's program is stopped: its connections stay open and nothing answers."""
    send_signal(pod, program, signal.SIGSTOP)
    try:
        yield
    finally:
        # Not `send_signal`: the container may have been replaced, and then no process is left.
        signal_all(processes(pod, program), signal.SIGCONT)
