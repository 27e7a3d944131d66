"""What the operator writes into Patroni's ConfigMaps: a switchover, once; and that a cluster is forgotten."""

from api_server import ApiServer, serving
from rtx_operator.api.names import KEPT
from rtx_operator.cluster.perform.patroni import forget_cluster, switch_over
from rtx_operator.cluster.resources import CONFIG_MAP, ENGINE
from rtx_operator.observation import Object, Owner
from rtx_operator.operations.effects import ForgetCluster, SwitchOver

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


async def test_what_patroni_says_is_forgotten_and_its_configuration_stays() -> None:
    # given
    server, path = ApiServer(), CONFIG_MAP.path("trading", "rtx-postgres-config")
    server.put(CONFIG_MAP, "rtx-postgres-config")
    server.objects[path]["metadata"]["annotations"] = {**KEPT, "config": "{}", "initialize": "7", "history": "[]"}
    # when: one of them is not there
    async with serving(server) as client:
        await forget_cluster(client, OWNER, ForgetCluster(("rtx-postgres-leader", "rtx-postgres-config")))
    # then
    changed = server.objects[path]["metadata"]["annotations"]
    assert {key for key, value in changed.items() if value is None} == {"initialize", "history"}
