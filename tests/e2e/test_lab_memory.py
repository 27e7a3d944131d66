"""On the native cluster nothing that pods write waits for the machine's disk, which stands still at times."""

import subprocess

import pytest
from rtx_demo.engine import Engine
from rtx_lab.instance import CONTROL_PLANE, Instance
from rtx_lab.provider import Provider, ProviderName

DEADLINE_S = 30.0


@pytest.mark.parametrize(("pod", "folder"), [("postgres", "/pgdata"), ("redis", "/data")])
def test_volumes_are_in_memory(engine: Engine, local_cluster: Provider, pod: str, folder: str) -> None:
    if local_cluster.name is not ProviderName.NATIVE:
        pytest.skip("kind keeps volumes where Docker does")

    # given a pod with a volume, when it asks what keeps it, then that is no disk
    where = (f"{engine.name}-{pod}-0", "--namespace", engine.namespace)
    assert engine.kubectl.run("exec", *where, "--", "stat", "-f", "-c", "%T", folder).strip() == "tmpfs"


def test_logs_and_what_etcd_keeps_are_in_memory(local_cluster: Provider) -> None:
    if local_cluster.name is not ProviderName.NATIVE:
        pytest.skip("kind keeps them where Docker does")

    # given the machines of a cluster, when they ask what keeps these folders, then that is no disk
    for machine, folder in (("node1", "/var/log/pods"), (CONTROL_PLANE, Instance().state / "etcd")):
        command = local_cluster.command_in(machine, ["stat", "-f", "-c", "%T", str(folder)])
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_S)
        assert told.stdout.strip() == "tmpfs"
