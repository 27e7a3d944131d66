"""Nodes: each is a network and a mount namespace with its own containerd, kubelet, kube-proxy and kube-router."""

import shutil
from pathlib import Path
from typing import Any

from rtx_lab import network
from rtx_lab.api import Api
from rtx_lab.instance import Node
from rtx_lab.processes import hold_namespaces, inside, log_path, run, start_daemon, tmpfs_mount, wait_for
from rtx_lab.system_images import PAUSE
from rtx_lab.templates import render

# Folder inside the node → its folder on the host. Programs expect these default paths, so each node mounts its own
# folders there. The paths must exist on the host; they stay, empty, after `down`.
MOUNTS = {
    "/run/containerd": "run/containerd",
    "/run/netns": "run/netns",
    "/var/lib/containerd": "state/containerd",
    "/var/lib/cni": "state/cni",
    "/etc/cni/net.d": "run/cni",
}
# Volumes and logs of pods. In memory: all nodes share one disk, and a stall of one second would fail tests (ADR 0015).
IN_MEMORY = ("/var/lib/kubelet", "/var/log/pods", "/var/log/containers")
CONTAINERD_DEADLINE_SECONDS = 30.0
IMPORT_DEADLINE_SECONDS = 120.0


def start_runtime(node: Node, nodes: int, system_images: Path) -> None:
    """Starts namespaces, cable and containerd with the system images. Requires only the control plane's switch."""
    hold_namespaces(node.instance, node.name, f"{_mount_script(node)}\n{network.node_script(node, nodes)}")
    (node.run / "cni" / "10-rtx-lab.conflist").write_text(render("cni.conflist", pods=node.pods))
    config = node.run / "containerd.toml"
    config.write_text(render("containerd.toml", pause=PAUSE))
    start_daemon(node.instance, node.name, f"containerd-{node.name}", ["containerd", "--config", config])
    wait_for(
        f"containerd on {node.name}",
        CONTAINERD_DEADLINE_SECONDS,
        (node.run / "containerd" / "containerd.sock").is_socket,
        log_path(node.instance, f"containerd-{node.name}"),
    )
    import_archive(node, system_images)


def import_archive(node: Node, archive: Path) -> None:
    """Imports all images of a Docker or OCI archive into the node."""
    command = ["ctr", "--namespace=k8s.io", "images", "import", archive]
    run(inside(node.instance, node.name, command), deadline_s=IMPORT_DEADLINE_SECONDS)


def register(node: Node, api: Api) -> None:
    """Creates the Node object before the kubelet does: kube-router reads pod range and address at its start."""
    api.create("/api/v1/nodes", node_object(node))


def node_object(node: Node) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    zone = {"topology.kubernetes.io/region": "lab", "topology.kubernetes.io/zone": f"lab-{node.number}"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels | zone},
        "spec": {"podCIDR": str(node.pods), "podCIDRs": [str(node.pods)]},
        "status": {"addresses": [{"type": "InternalIP", "address": str(node.ip)}]},
    }


def start_agents(node: Node, commands: dict[str, Path]) -> None:
    """Starts kubelet, kube-proxy and kube-router. Requires a ready API server and the Node object."""
    instance = node.instance
    kubelet = node.run / "kubelet.yaml"
    kubelet.write_text(
        render("kubelet.yaml", pki=instance.pki, name=node.name, ip=node.ip, dns=instance.dns_ip, cgroup=node.cgroup)
    )
    proxy = node.run / "kube-proxy.yaml"
    proxy.write_text(render("kube-proxy.yaml", pki=instance.pki, name=node.name, pods=instance.pods))
    start_daemon(
        instance,
        node.name,
        f"kubelet-{node.name}",
        [
            commands["kubelet"],
            f"--config={kubelet}",
            f"--kubeconfig={instance.pki}/{node.name}.kubeconfig",
            f"--hostname-override={node.name}",
            f"--node-ip={node.ip}",
        ],
    )
    start_daemon(instance, node.name, f"kube-proxy-{node.name}", [commands["kube-proxy"], f"--config={proxy}"])
    start_daemon(
        instance,
        node.name,
        f"kube-router-{node.name}",
        [
            commands["kube-router"],
            f"--kubeconfig={instance.kubeconfig}",
            f"--hostname-override={node.name}",
            f"--service-cluster-ip-range={instance.services}",
        ],
    )


def _mount_script(node: Node) -> str:
    lines = []
    for inside_path, kept in MOUNTS.items():
        base = node.run if kept.startswith("run/") else node.state
        source = base / kept.partition("/")[2]
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        Path(inside_path).mkdir(parents=True, exist_ok=True)
        lines.append(f"mount --bind {source} {inside_path}")
    for inside_path in IN_MEMORY:
        Path(inside_path).mkdir(parents=True, exist_ok=True)
        lines.append(tmpfs_mount(node.instance, node.name, Path(inside_path)))
    # crun rejects a v1 host that also mounts v2, which containers do not need.
    lines.append("if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi")
    # Mounts by the kubelet must propagate into containers.
    return "\n".join([*lines, "mount --make-rshared /"])
