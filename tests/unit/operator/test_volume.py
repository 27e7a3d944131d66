"""Where the volume of a database or cache can be."""

from api_server import ApiServer, serving
from rtx_operator.api.enums import Component
from rtx_operator.api.names import Names
from rtx_operator.cluster.client import ApiError, Client
from rtx_operator.cluster.observe.volume import read_volume
from rtx_operator.cluster.resources import VOLUME
from rtx_operator.observation import Object

NAMES, DATABASE = Names("rtx"), Component.DATABASE
CLAIM = {("PersistentVolumeClaim", "data-rtx-postgres-0"): {"spec": {"volumeName": "pv-1"}}}
POD = {"metadata": {"name": "rtx-postgres-0"}, "spec": {"nodeName": "node-1"}}


async def test_volume_of_the_claim_is_read() -> None:
    server = ApiServer()
    server.objects[VOLUME.path("", "pv-1")] = {"metadata": {"name": "pv-1"}, "spec": {"local": {}}}

    async with serving(server) as client:
        assert await read_volume(client, CLAIM, [POD], NAMES, DATABASE) == {
            "metadata": {"name": "pv-1"},
            "spec": {"local": {}},
        }
        assert await read_volume(client, {}, [POD], NAMES, DATABASE) == {}  # not bound yet
        assert await read_volume(client, CLAIM, [POD], NAMES, None) is None  # not asked for


async def test_volume_that_may_not_be_read_can_be_where_its_pod_runs() -> None:
    # Given an operator with rights in some namespaces only
    class Refused(Client):
        def __init__(self) -> None:
            pass

        async def get(self, *_: object) -> Object | None:
            raise ApiError(403, "Forbidden", "persistentvolumes is forbidden")

    # When it asks for the volume
    volume = await read_volume(Refused(), CLAIM, [POD], NAMES, DATABASE)

    # Then it is taken to be bound to the pod's node
    assert volume
    [term] = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
