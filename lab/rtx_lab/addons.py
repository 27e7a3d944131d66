"""Addons of an ordinary cluster: DNS, volumes, metrics, and optional fake nodes."""

from pathlib import Path
from typing import Any

from rtx_lab import system_images
from rtx_lab.api import Api
from rtx_lab.control_plane import flags
from rtx_lab.instance import CONTROL_PLANE, Instance
from rtx_lab.processes import daemons, run, start_daemon
from rtx_lab.templates import FILES, render

APPLY_DEADLINE_SECONDS = 60.0
DNS_REPLICAS = 2
FAKE_LABEL = "type=kwok"
FAKE_TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}


def apply(instance: Instance, nodes: int) -> None:
    """Applies the objects of all addons with one kubectl call. Raises LabError."""
    replicas = min(DNS_REPLICAS, nodes)
    manifests = [
        render("addons/coredns.yaml", image=system_images.COREDNS, dns=instance.dns_ip, replicas=replicas),
        render("addons/metrics-server.yaml", control_plane=instance.control_plane_ip),
        render("addons/local-path.yaml", image=system_images.SHELL),
    ]
    command = [instance.kubectl, f"--kubeconfig={instance.kubeconfig}", "apply", "--server-side", "-f", "-"]
    run(command, deadline_s=APPLY_DEADLINE_SECONDS, stdin="\n---\n".join(manifests))


def start_metrics_server(instance: Instance, commands: dict[str, Path]) -> None:
    options = {
        "kubeconfig": instance.kubeconfig,
        "authentication-kubeconfig": instance.kubeconfig,
        "authorization-kubeconfig": instance.kubeconfig,
        "cert-dir": instance.run / "metrics-server",
        "secure-port": 4443,
        "bind-address": instance.control_plane_ip,
        "kubelet-certificate-authority": instance.pki / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "metric-resolution": "10s",
        "kubelet-request-timeout": "5s",  # must be below the resolution, or metrics-server exits
    }
    start_daemon(instance, CONTROL_PLANE, "metrics-server", [commands["metrics-server"], *flags(options)])


def start_volume_provisioner(instance: Instance, commands: dict[str, Path], api: Api) -> None:
    """Starts local-path-provisioner with the configuration that `apply` created in the cluster."""
    data = api.get("/api/v1/namespaces/local-path-storage/configmaps/local-path-config")["data"]
    folder = instance.run / "local-path"
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "helperPod.yaml"):
        (folder / name).write_text(data[name])
    options = {
        "kubeconfig": instance.kubeconfig,
        "config": folder / "config.json",
        "configmap-name": "local-path-config",
        "namespace": "local-path-storage",
        "service-account-name": "default",
        "helper-image": system_images.SHELL,
        "helper-pod-file": folder / "helperPod.yaml",
    }
    command = [commands["local-path-provisioner"], "start", *flags(options)]
    start_daemon(instance, CONTROL_PLANE, "local-path-provisioner", command)


def dns_is_ready(api: Api) -> bool:
    """Whether every DNS pod is Ready."""
    deployment = api.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
    return bool(deployment) and deployment["status"].get("readyReplicas", 0) == deployment["spec"]["replicas"]


def add_fake_nodes(instance: Instance, commands: dict[str, Path], api: Api, count: int) -> None:
    """Adds nodes `fake1` to `fakeCOUNT`, simulated by kwok: pods bound to them become Ready, Jobs complete.

    A taint keeps pods off them that do not tolerate it.
    """
    if not daemons(instance).get("kwok"):
        options = {
            "kubeconfig": instance.kubeconfig,
            "config": FILES / "kwok-stages.yaml",
            "manage-all-nodes": "false",
            "manage-nodes-with-label-selector": FAKE_LABEL,
            "node-lease-duration-seconds": 40,
            "server-address": "127.0.0.1:10247",
        }
        start_daemon(instance, CONTROL_PLANE, "kwok", [commands["kwok"], *flags(options)])
    for number in range(1, count + 1):
        api.create("/api/v1/nodes", fake_node(f"fake{number}"))


def fake_node(name: str) -> dict[str, Any]:
    key, _, value = FAKE_LABEL.partition("=")
    capacity = {"cpu": "32", "memory": "256Gi", "pods": "1000"}
    labels = {key: value, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": [FAKE_TAINT]},
        "status": {"allocatable": capacity, "capacity": capacity},
    }
