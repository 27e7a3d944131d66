"""etcd, API server, controller manager and scheduler, in their own network namespace, off every node's cable."""

from pathlib import Path

from rtx_lab import network
from rtx_lab.api import Api
from rtx_lab.instance import CONTROL_PLANE, Instance
from rtx_lab.processes import hold_namespaces, log_path, start_daemon, tmpfs_mount, wait_for
from rtx_lab.templates import render

READY_DEADLINE_SECONDS = 90.0


def start_store(instance: Instance, commands: dict[str, Path], nodes: int) -> None:
    """Starts namespaces, switch, the host's cable, etcd and the API server; returns before they are ready."""
    data = instance.state / "etcd"
    data.mkdir(parents=True, exist_ok=True)
    # In memory, like the pods' files: a disposable cluster need not survive a power cut (ADR 0015).
    script = f"{network.control_plane_script(instance, nodes)}\n{tmpfs_mount(instance, CONTROL_PLANE, data)}"
    hold_namespaces(instance, CONTROL_PLANE, script)
    network.attach_host(instance, nodes)
    etcd = {
        "data-dir": data,
        "listen-client-urls": "http://127.0.0.1:2379",
        "advertise-client-urls": "http://127.0.0.1:2379",
        "listen-peer-urls": "http://127.0.0.1:2380",
    }
    start_daemon(instance, CONTROL_PLANE, "etcd", [commands["etcd"], *flags(etcd)])
    command = [commands["kube-apiserver"], *flags(api_server_options(instance))]
    start_daemon(instance, CONTROL_PLANE, "kube-apiserver", command)


def start_controllers(instance: Instance, commands: dict[str, Path], api: Api) -> None:
    """Waits for the API server, then starts the controllers, which exit when it is not ready. Raises LabError."""
    log = log_path(instance, "kube-apiserver")
    wait_for("the API server", READY_DEADLINE_SECONDS, api.is_ready, log)
    for name, options in (
        ("kube-controller-manager", controller_manager_options(instance)),
        ("kube-scheduler", {}),
    ):
        config = instance.pki / f"{name}.kubeconfig"
        every = {
            "kubeconfig": config,
            "authentication-kubeconfig": config,
            "authorization-kubeconfig": config,
            "leader-elect": "false",
        }
        start_daemon(instance, CONTROL_PLANE, name, [commands[name], *flags(every | options)])


def api_server_options(instance: Instance) -> dict[str, object]:
    pki = instance.pki
    policy = instance.run / "audit-policy.yaml"
    policy.write_text(render("audit-policy.yaml"))
    return {
        "etcd-servers": "http://127.0.0.1:2379",
        "service-cluster-ip-range": instance.services,
        "advertise-address": instance.control_plane_ip,
        "secure-port": 6443,
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "client-ca-file": pki / "ca.crt",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki / "service-accounts.pub",
        "service-account-signing-key-file": pki / "service-accounts.key",
        "requestheader-client-ca-file": pki / "ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": pki / "front-proxy.crt",
        "proxy-client-key-file": pki / "front-proxy.key",
        # The control plane has no kube-proxy: the API server calls pods by address.
        "enable-aggregator-routing": "true",
        "kubelet-client-certificate": pki / "admin.crt",
        "kubelet-client-key": pki / "admin.key",
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "audit-policy-file": policy,
        "audit-log-path": instance.audit_log,
        "audit-log-maxsize": 200,
        "audit-log-maxbackup": 1,
    }


def controller_manager_options(instance: Instance) -> dict[str, object]:
    pki = instance.pki
    return {
        "root-ca-file": pki / "ca.crt",
        "service-account-private-key-file": pki / "service-accounts.key",
        "use-service-account-credentials": "true",
        "cluster-cidr": instance.pods,
        # Pod ranges follow node numbers; allocated by registration order they would differ from the CNI configuration.
        "allocate-node-cidrs": "false",
        "cluster-signing-cert-file": pki / "ca.crt",
        "cluster-signing-key-file": pki / "ca.key",
        "node-monitor-grace-period": "20s",
        # The default of 15 s is too slow for tests.
        "horizontal-pod-autoscaler-sync-period": "5s",
    }


def flags(options: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]
