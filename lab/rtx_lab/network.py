"""The cluster's network: a switch in the control plane's namespace, one veth cable to each node and one to the host.

No machine has a route out of this network. The host reaches Services through node 1, and pods through their node.
"""

import contextlib
import os
from pathlib import Path

from rtx_lab.errors import LabError
from rtx_lab.instance import CONTROL_PLANE, Instance, Node
from rtx_lab.processes import holder, inside, run, wait_for

SWITCH = "br0"
DEADLINE_SECONDS = 10.0


def control_plane_script(instance: Instance, nodes: int) -> str:
    """Shell lines that create the switch; the control plane's address is on the switch itself."""
    prefix = instance.machines.prefixlen
    lines = [
        "ip link set lo up",
        f"ip link add {SWITCH} type bridge",
        f"ip addr add {instance.control_plane_ip}/{prefix} dev {SWITCH}",
        f"ip link set {SWITCH} up",
        # Each node has its own firewall; by default the kernel filters bridged packets as well.
        "if [ -e /proc/sys/net/bridge ]; then echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables; fi",
        f"ip link add host0 type veth peer name {instance.name} netns {os.getpid()}",
        f"ip link set host0 master {SWITCH} up",
    ]
    # The API server calls webhooks and aggregated APIs by pod address.
    return "\n".join(lines + _pod_routes(instance, nodes))


def node_script(node: Node, nodes: int) -> str:
    """Shell lines that create a node's cable, its address and the routes to the other nodes' pods."""
    instance = node.instance
    switch = holder(instance, CONTROL_PLANE)
    lines = [
        "ip link set lo up",
        f"ip link add up0 type veth peer name {node.port} netns {switch}",
        f"ip addr add {node.ip}/{instance.machines.prefixlen} dev up0",
        "ip link set up0 up",
        f"nsenter --target={switch} --net ip link set {node.port} master {SWITCH} up",
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
        # Without a default route the kernel needs some route to Services before kube-proxy can rewrite the packet.
        f"ip route add {instance.services} dev lo",
    ]
    return "\n".join(lines + _pod_routes(instance, nodes, excluded=node.number))


def _pod_routes(instance: Instance, nodes: int, excluded: int = 0) -> list[str]:
    others = (instance.node(number) for number in range(1, nodes + 1) if number != excluded)
    return [f"ip route add {other.pods} via {other.ip}" for other in others]


def attach_host(instance: Instance, nodes: int) -> None:
    """Sets address and routes at the host's end of its cable; they vanish with the cable."""
    link = instance.name
    run(
        ["ip", "addr", "add", f"{instance.host_ip}/{instance.machines.prefixlen}", "dev", link],
        deadline_s=DEADLINE_SECONDS,
    )
    run(["ip", "link", "set", link, "up"], deadline_s=DEADLINE_SECONDS)
    for node in map(instance.node, range(1, nodes + 1)):
        run(["ip", "route", "replace", str(node.pods), "via", str(node.ip)], deadline_s=DEADLINE_SECONDS)
    if nodes:
        gateway = str(instance.node(1).ip)
        run(["ip", "route", "replace", str(instance.services), "via", gateway], deadline_s=DEADLINE_SECONDS)


def detach_host(instance: Instance) -> None:
    """Removes the host's end and waits until it is gone: the kernel removes dead namespaces asynchronously."""
    with contextlib.suppress(LabError):  # it may be gone already
        run(["ip", "link", "delete", instance.name], deadline_s=DEADLINE_SECONDS)
    wait_for(
        f"the removal of link {instance.name}",
        DEADLINE_SECONDS,
        lambda: not Path("/sys/class/net", instance.name).exists(),
    )


def plug(node: Node, *, connected: bool) -> None:
    """Connects or disconnects the node's only cable, at the switch."""
    command = ["ip", "link", "set", node.port, "up" if connected else "down"]
    run(inside(node.instance, CONTROL_PLANE, command), deadline_s=DEADLINE_SECONDS)


def is_plugged(node: Node) -> bool:
    command = ["ip", "-o", "link", "show", node.port]
    return ",UP" in run(inside(node.instance, CONTROL_PLANE, command), deadline_s=DEADLINE_SECONDS)
