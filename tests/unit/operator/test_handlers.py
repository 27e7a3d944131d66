"""A new leader adds the engines with an operation under way before the others."""

from typing import Any, cast

from api_server import ApiServer, serving
from rtx_operator import handlers
from rtx_operator.cluster.fleet import Fleet
from rtx_operator.cluster.resources import ENGINE
from rtx_operator.controllers.base import Controller, Key
from rtx_operator.settings import from_environment
from rtx_operator.workers import Priority
from rtx_operator.workqueue import WorkQueue

SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis", "OPERATOR_CLASS": "a"})


class Queue(WorkQueue[Key]):
    """Records what is added."""

    def __init__(self) -> None:
        self.added: list[str] = []

    def add(self, key: Key, *_: Any) -> None:
        self.added.append(key.name)


class Engines:
    """Of which none is urgent."""

    def priority(self, _: Any) -> Priority:
        return Priority.NORMAL


async def test_engines_in_an_operation_are_added_first() -> None:
    # Given a fleet of which two engines are in an operation, and one has ended its cutover
    server, queue, fleet = ApiServer(), Queue(), Fleet()
    statuses: dict[str, Any] = {
        "at-rest": {},
        "upgraded": {"cutover": {"phase": "Succeeded"}},
        "in-switch": {"cutover": {"phase": "Switching"}},
        "retires": {"retirement": {"phase": "Emptying"}},
    }
    for name, status in statuses.items():
        server.put(ENGINE, name, spec={}, status=status)
    objects = server.objects
    for found in objects.values():
        found["metadata"]["labels"] = {"rtx-trading.com/operator": "a"}
    server.objects = {path.replace("namespaces/trading/", ""): found for path, found in objects.items()}

    # When a new leader lists it
    async with serving(server) as client:
        await handlers.add_all(client, queue, cast("Controller", Engines()), fleet, SETTINGS)

    # Then these are the first
    assert queue.added == ["in-switch", "retires", "at-rest", "upgraded"]
    assert fleet.is_complete
    assert {one["metadata"]["name"]: one["status"] for one in fleet.manifests()} == statuses
