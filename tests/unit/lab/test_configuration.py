"""Configuration files of the cluster's programs are well-formed."""

import json
from ipaddress import IPv4Network

import pytest
import yaml
from rtx_lab import build_settings, network
from rtx_lab.instance import Instance
from rtx_lab.nodes import node_object
from rtx_lab.templates import FILES, render

VALUES = {
    "pause": "p", "pods": "10.244.1.0/24", "pki": "/pki", "name": "node1", "ip": "10.200.0.1", "dns": "10.96.0.10",
    "cgroup": "/rtx-lab/node1", "image": "i:1", "replicas": 2, "control_plane": "10.200.0.100",
}  # fmt: skip


@pytest.mark.parametrize("file", sorted(path.relative_to(FILES) for path in FILES.rglob("*.yaml")), ids=str)
def test_every_yaml_file_renders_to_objects(file: str) -> None:
    text = (FILES / file).read_text() if "kwok" in str(file) else render(str(file), **VALUES)
    assert all(document["kind"] for document in yaml.safe_load_all(text))


def test_the_network_configuration_is_json_with_the_nodes_pod_range() -> None:
    document = json.loads(render("cni.conflist", pods="10.244.1.0/24"))
    assert document["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]


def test_template_without_a_value_raises() -> None:
    with pytest.raises(KeyError):
        render("kubelet.yaml")


def test_node_object_has_address_and_pod_range() -> None:
    node = node_object(Instance().node(3))
    assert IPv4Network(node["spec"]["podCIDR"]) == IPv4Network("10.244.3.0/24")
    assert node["status"]["addresses"] == [{"type": "InternalIP", "address": "10.200.0.3"}]


def test_control_plane_has_routes_to_every_nodes_pods_only() -> None:
    script = network.control_plane_script(Instance(), 2)
    routes = [line for line in script.splitlines() if line.startswith("ip route")]
    assert routes == ["ip route add 10.244.1.0/24 via 10.200.0.1", "ip route add 10.244.2.0/24 via 10.200.0.2"]


def test_build_uses_the_hosts_registries() -> None:
    environment = {"PIP_INDEX_URL": "https://mirror.example/simple", "PIP_DEFAULT_TIMEOUT": "180", "HOME": "/root"}
    assert build_settings.pip_config(environment).splitlines() == [
        "[global]",
        f"cert = {build_settings.CA_BUNDLE}",
        "default-timeout = 180",
        "index-url = https://mirror.example/simple",
    ]
    assert 'url = "https://mirror.example/simple"' in build_settings.uv_config(environment)
