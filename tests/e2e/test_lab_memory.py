"""The native cluster keeps volumes, logs and etcd's data in memory: the machine's disk stalls at times."""

import subprocess

import pytest
from rtx_demo.engine import Engine
from rtx_lab.instance import CONTROL_PLANE, Instance
from rtx_lab.provider import Provider, ProviderName

DEADLINE_SECONDS = 30.0


@pytest.mark.parametrize(("pod", "folder"), [("postgres", "/pgdata"), ("redis", "/data")])
def test_volumes_are_in_memory(engine: Engine, local_cluster: Provider, pod: str, folder: str) -> None:
    if local_cluster.name is not ProviderName.NATIVE:
        pytest.skip("kind keeps volumes where Docker does")

    # Given a pod with a volume.
    where = (f"{engine.name}-{pod}-0", "--namespace", engine.namespace)

    # When the pod reads the file system of its volume.
    file_system = engine.kubectl.run("exec", *where, "--", "stat", "-f", "-c", "%T", folder).strip()

    # Then the volume is in memory.
    assert file_system == "tmpfs"


def test_logs_and_etcd_data_are_in_memory(local_cluster: Provider) -> None:
    if local_cluster.name is not ProviderName.NATIVE:
        pytest.skip("kind keeps logs and etcd's data where Docker does")

    # Given the folders for logs and for etcd's data.
    # When their machines read the folders' file systems.
    # Then both are in memory.
    for machine, folder in (("node1", "/var/log/pods"), (CONTROL_PLANE, Instance().state / "etcd")):
        command = local_cluster.command_in(machine, ["stat", "-f", "-c", "%T", str(folder)])
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
        assert output.stdout.strip() == "tmpfs"
