"""kind's commands. They are never run here: there is no Docker."""

from pathlib import Path

import yaml
from rtx_lab import kind
from rtx_lab.images import Image

COMMANDS = kind.Commands("rtx-lab", Path("/cache/kubeconfig"))


def test_the_configuration_has_one_control_plane_and_the_workers() -> None:
    # when
    document = yaml.safe_load(kind.config(3))
    # then
    assert document["apiVersion"] == "kind.x-k8s.io/v1alpha4"
    assert [node["role"] for node in document["nodes"]] == ["control-plane", "worker", "worker", "worker"]


def test_create_and_delete_name_the_same_cluster_and_kubeconfig() -> None:
    assert " ".join(COMMANDS.create(Path("/cache/config.yaml"))) == (
        "kind create cluster --name rtx-lab --config /cache/config.yaml --kubeconfig /cache/kubeconfig --wait 180s"
    )
    assert " ".join(COMMANDS.delete()) == "kind delete cluster --name rtx-lab --kubeconfig /cache/kubeconfig"


def test_an_image_loads_by_name_and_an_archive_as_a_file(tmp_path: Path) -> None:
    # given
    archive = tmp_path / "image.tar"
    archive.touch()
    # then
    assert " ".join(COMMANDS.load("localhost/rtx-engine:1.0.0")) == (
        "kind load docker-image localhost/rtx-engine:1.0.0 --name rtx-lab"
    )
    assert COMMANDS.load(str(archive))[:3] == ["kind", "load", "image-archive"]


def test_cut_and_heal_disconnect_and_connect_the_node() -> None:
    assert COMMANDS.plug("rtx-lab-worker", connected=False) == [
        "docker",
        "network",
        "disconnect",
        "kind",
        "rtx-lab-worker",
    ]
    assert COMMANDS.plug("rtx-lab-worker", connected=True) == ["docker", "network", "connect", "kind", "rtx-lab-worker"]


def test_a_command_runs_inside_the_node() -> None:
    assert COMMANDS.inside("rtx-lab-worker2", ["ip", "route"]) == [
        "docker", "exec", "--interactive", "rtx-lab-worker2", "ip", "route",
    ]  # fmt: skip


def test_images_are_built_by_docker_with_their_own_default_base() -> None:
    # given
    image = Image("rtx-engine", "Dockerfile.engine", "1.0.0")
    # when
    command = COMMANDS.build(image, Path("/project"))
    # then
    assert " ".join(command) == (
        "docker build --file=/project/Dockerfile.engine --tag=localhost/rtx-engine:1.0.0 /project"
    )
