"""One cluster on this machine: its name, and the folders and addresses derived from it."""

import re
import zlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from rtx_lab.errors import LabError

DEFAULT = "rtx-lab"
CONTROL_PLANE = "control-plane"
NETWORK_COUNT = 10  # address ranges of all instances but the default one; selected by a hash of the name


@dataclass(frozen=True)
class Instance:
    """Names and addresses. The default instance: machines in 10.200.0.0/24, pods in 10.244/16, Services in 10.96/16."""

    name: str = DEFAULT

    def __post_init__(self) -> None:
        # The name is also that of a network link, which the kernel limits to 15 characters.
        if not re.fullmatch(r"rtx-lab(-[a-z0-9]{1,7})?", self.name):
            raise LabError(
                f"{self.name!r} is not a valid cluster name: use rtx-lab, or rtx-lab- and 1 to 7 of a-z and 0-9."
            )

    @property
    def number(self) -> int:
        return 0 if self.name == DEFAULT else 1 + zlib.crc32(self.name.encode()) % NETWORK_COUNT

    @property
    def run(self) -> Path:
        """The folder for small files: sockets, certificates, configuration, logs."""
        return Path("/run") / self.name

    @property
    def state(self) -> Path:
        """The folder for large files on disk (images), and the mount point of etcd's data."""
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
        """The API server's audit log: JSON lines, metadata level."""
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
        """The host's address on the cluster's network."""
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
        """The node's port on the control plane's switch."""
        return f"p{self.number}"

    @property
    def cgroup(self) -> str:
        """The cgroup of this node's pods, in every hierarchy."""
        return f"/{self.instance.name}/{self.name}"
