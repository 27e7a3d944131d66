"""A switchover is asked for in Patroni's ConfigMap, once."""

from api_server import ApiServer, serving
from rtx_operator.cluster.perform.patroni import switch_over
from rtx_operator.cluster.resources import CONFIG_MAP, ENGINE
from rtx_operator.observation import Object, Owner
from rtx_operator.operations.effects import SwitchOver

OWNER = Owner("trading", "rtx", "uid-1")
ASKED = SwitchOver("rtx-postgres-0", "rtx-postgres-1", "rtx-postgres-failover")
PATH = CONFIG_MAP.path("trading", "rtx-postgres-failover")
META = {"namespace": "trading", "name": "rtx", "uid": "uid-1", "resourceVersion": "1"}
MANIFEST: Object = {"apiVersion": ENGINE.api_version, "kind": ENGINE.kind, "metadata": META}


async def test_switchover_is_asked_for_once() -> None:
    server = ApiServer()
    server.put(CONFIG_MAP, "rtx-postgres-failover", labels={"of": "patroni"})

    async with serving(server) as client:
        await switch_over(client, MANIFEST, OWNER, ASKED)
        await switch_over(client, MANIFEST, OWNER, ASKED)

    meta = server.objects[PATH]["metadata"]
    assert (meta["annotations"]["leader"], meta["annotations"]["member"]) == ("rtx-postgres-0", "rtx-postgres-1")
    assert meta["labels"] == {"of": "patroni"}
    assert server.requests.count(("PATCH", PATH)) == 1


async def test_without_the_config_map_nothing_is_asked() -> None:
    server = ApiServer()

    async with serving(server) as client:
        await switch_over(client, MANIFEST, OWNER, ASKED)

    assert server.requests == [("GET", PATH)]
