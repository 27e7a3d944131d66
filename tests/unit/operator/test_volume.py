"""Where the volumes of a database or cache can be."""

from api_server import ApiServer, serving
from rtx_operator.api.enums import Component
from rtx_operator.api.names import Names
from rtx_operator.cluster.client import ApiError, Client
from rtx_operator.cluster.observe.objects import Children
from rtx_operator.cluster.observe.volume import read_volumes
from rtx_operator.cluster.resources import VOLUME
from rtx_operator.observation import Object

NAMES, DATABASE = Names("rtx"), Component.DATABASE
CLAIM = "data-rtx-postgres-0"
POD = {"metadata": {"name": "rtx-postgres-0"}, "spec": {"nodeName": "node-1"}}


def three(size: int) -> Children:
    """The database's StatefulSet of this size, and three claims, of which the last is not bound."""
    workload = {"kind": "StatefulSet", "metadata": {"generation": 1}, "spec": {"replicas": size}, "status": {}}
    claims = {
        ("PersistentVolumeClaim", f"data-rtx-postgres-{one}"): {"spec": {"volumeName": name}}
        for one, name in enumerate(("pv-1", "pv-2", ""))
    }
    return {("StatefulSet", "rtx-postgres"): workload, **claims}


def volume(name: str) -> Object:
    return {"metadata": {"name": name}, "spec": {"local": {}}}


async def test_volume_of_each_server_is_read() -> None:
    server = ApiServer()
    server.objects |= {VOLUME.path("", name): volume(name) for name in ("pv-1", "pv-2")}

    async with serving(server) as client:
        found = await read_volumes(client, three(3), [POD], NAMES, DATABASE)
        assert found == {CLAIM: volume("pv-1"), "data-rtx-postgres-1": volume("pv-2"), "data-rtx-postgres-2": {}}
        assert await read_volumes(client, three(3), [POD], NAMES, None) is None  # not asked for


async def test_volume_of_a_server_that_is_gone_does_not_count() -> None:
    server = ApiServer()
    server.objects[VOLUME.path("", "pv-1")] = volume("pv-1")

    async with serving(server) as client:
        assert await read_volumes(client, three(1), [POD], NAMES, DATABASE) == {CLAIM: volume("pv-1")}


async def test_volume_that_may_not_be_read_can_be_where_its_pod_runs() -> None:
    # Given an operator with rights in some namespaces only
    class Refused(Client):
        def __init__(self) -> None:
            pass

        async def get(self, *_: object) -> Object | None:
            raise ApiError(403, "Forbidden", "persistentvolumes is forbidden")

    # When it asks for the volume
    volumes = await read_volumes(Refused(), three(1), [POD], NAMES, DATABASE)

    # Then it is taken to be bound to the pod's node
    assert volumes
    [term] = volumes[CLAIM]["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
