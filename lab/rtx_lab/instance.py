"""One cluster on this machine: its name, and every folder and address that follows from it."""

import re
import zlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from rtx_lab.errors import LabError

DEFAULT = "rtx-lab"
CONTROL_PLANE = "control-plane"
NETWORK_COUNT = 10  # instances beside the default one share this many address ranges, picked by their name


@dataclass(frozen=True)
class Instance:
    """Names and addresses. The default instance has 10.200.0.0/24 for machines, 10.244/16 pods, 10.96/16 Services."""

    name: str = DEFAULT

    def __post_init__(self) -> None:
        # The name is also that of a network link, of which the kernel takes 15 characters.
        if not re.fullmatch(r"rtx-lab(-[a-z0-9]{1,7})?", self.name):
            raise LabError(f"{self.name!r} is no name for a cluster; take rtx-lab, or rtx-lab- and up to 7 letters.")

    @property
    def number(self) -> int:
        return 0 if self.name == DEFAULT else 1 + zlib.crc32(self.name.encode()) % NETWORK_COUNT

    @property
    def run(self) -> Path:
        """Sockets, certificates, configuration, logs: everything small."""
        return Path("/run") / self.name

    @property
    def state(self) -> Path:
        """Images: what is large and not in memory. Where etcd keeps its data is mounted in here."""
        return Path("/var/lib") / self.name

    @property
    def logs(self) -> Path:
        return self.run / "logs"

    @property
    def pki(self) -> Path:
        return self.run / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.run / "admin.kubeconfig"

    @property
    def kubectl(self) -> Path:
        """A link to the kubectl of this cluster's version."""
        return self.run / "kubectl"

    @property
    def audit_log(self) -> Path:
        """Who wrote what: JSON lines of the API server, metadata level."""
        return self.run / "audit.log"

    @property
    def machines(self) -> IPv4Network:
        return IPv4Network(f"10.200.{self.number}.0/24")

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network(f"10.{244 + self.number}.0.0/16")

    @property
    def services(self) -> IPv4Network:
        return IPv4Network(f"10.{96 + self.number}.0.0/16")

    @property
    def control_plane_ip(self) -> IPv4Address:
        return self.machines[100]

    @property
    def host_ip(self) -> IPv4Address:
        """The host's leg on the cluster's network."""
        return self.machines[254]

    @property
    def dns_ip(self) -> IPv4Address:
        return self.services[10]

    @property
    def server(self) -> str:
        return f"https://{self.control_plane_ip}:6443"

    def node(self, number: int) -> "Node":
        return Node(self, number)


@dataclass(frozen=True)
class Node:
    """One worker: a network and a mount namespace with its own containerd, kubelet, kube-proxy and kube-router."""

    instance: Instance
    number: int  # from 1

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def ip(self) -> IPv4Address:
        return self.instance.machines[self.number]

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network((int(self.instance.pods[0]) + self.number * 256, 24))

    @property
    def run(self) -> Path:
        return self.instance.run / self.name

    @property
    def state(self) -> Path:
        return self.instance.state / self.name

    @property
    def port(self) -> str:
        """The node's plug in the control plane's switch."""
        return f"p{self.number}"

    @property
    def cgroup(self) -> str:
        """Where this node's pods live, in every hierarchy."""
        return f"/{self.instance.name}/{self.name}"
