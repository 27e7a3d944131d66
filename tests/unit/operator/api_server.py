"""A small API server over real HTTP: objects by path, lists by collection, applies. It records its requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from rtx_operator.api.names import Label
from rtx_operator.cluster.client import FIELD_MANAGER, Client, Object, Resource


class ApiServer:
    """`requests` are (method, path) in order. `hold`, if set, is awaited before the response to a list.

    With `refuses` it responds to an apply with 403, as an admission webhook does; with `fails`, with this status code.
    `drops` names a field of status that it does not store, as with the CRD of an older release, by its path (`a.b`).
    With `keeps_pods` it responds to an eviction with this status code.
    `hangs` is a part of the paths whose writes it answers with 504 after `hang_seconds`, as behind a webhook that is
    down.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.requests: list[tuple[str, str]] = []
        self.hold: Callable[[], Awaitable[None]] | None = None
        self.refuses = False
        self.denial = "denied by a webhook"
        self.fails = 0
        self.keeps_pods = 0
        self.drops = ""
        self.hangs = ""
        self.hang_seconds = 60.0
        self._version = 0

    @property
    def version(self) -> int:
        """The resourceVersion of the last write."""
        return self._version

    def put(self, resource: Resource, name: str, labels: Object | None = None, **fields: Any) -> None:
        """Store an object of another client; without `labels`, with that of the engine `rtx`."""
        path = resource.path("trading", name)
        meta = {
            "name": name,
            "namespace": "trading",
            "labels": {Label.ENGINE.value: "rtx"} if labels is None else labels,
        }
        self.objects[path] = self._stored({"metadata": meta, **fields}, path)

    def count(self, method: str) -> int:
        return sum(method == one for one, _ in self.requests)

    def _stored(self, body: Object, path: str) -> Object:
        self._version += 1
        ours = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": sorted(body.get("spec", {}))}}
        meta = {
            **body["metadata"],
            "uid": str(uuid5(NAMESPACE_URL, path)),
            "resourceVersion": str(self._version),
            "managedFields": [ours],
        }
        return {**body, "metadata": meta}

    def _with_status(self, path: str, body: Object) -> Object:
        self.objects[path] = {**self.objects[path], "status": _without(body["status"], self.drops.split("."))}
        return self.objects[path]

    def change(self, path: str, manager: str) -> None:
        """Another field manager takes the fields of an object's spec over, as an update does."""
        self._version += 1
        before = self.objects[path]
        theirs = {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": self._version}}
        meta = {**before["metadata"], "resourceVersion": str(self._version), "managedFields": [theirs]}
        self.objects[path] = {**before, "metadata": meta}

    def _create(self, path: str, body: Object) -> web.Response:
        if path in self.objects:
            return web.json_response({"message": "exists", "reason": "AlreadyExists"}, status=409)
        self._version += 1
        meta = {**body["metadata"], "uid": str(uuid5(NAMESPACE_URL, path)), "resourceVersion": str(self._version)}
        self.objects[path] = {**body, "metadata": meta}
        return web.json_response(self.objects[path], status=201)

    def _merge(self, path: str, body: Object) -> web.Response:
        path = path.removesuffix("/scale")
        before = self.objects[path]
        self.objects[path] = {**before, **body, "metadata": {**before["metadata"], **body.get("metadata", {})}}
        return web.json_response(self.objects[path])

    def _write(self, method: str, path: str, body: Object) -> web.Response:
        if method == "PATCH" and self.refuses:
            return web.json_response({"message": self.denial, "reason": "Forbidden"}, status=403)
        if method == "PATCH" and self.fails:
            return web.json_response({"message": "not now", "reason": "Failed"}, status=self.fails)
        if method == "PATCH":
            self.objects[path] = self._stored(body, path)
            return web.json_response(self.objects[path])
        if path.endswith("/eviction"):
            return web.json_response({"message": self.denial}, status=self.keeps_pods or 201)
        if method == "PUT":
            return web.json_response(self._with_status(path.removesuffix("/status"), body))
        return self._create(f"{path}/{body['metadata']['name']}", body)

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        if request.method in {"PATCH", "PUT", "POST"} and self.hangs and self.hangs in request.path:
            await asyncio.sleep(self.hang_seconds)
            return web.json_response({"message": "the webhook did not answer", "reason": "Timeout"}, status=504)
        passes = not (self.refuses or self.fails)
        if passes and request.method == "PATCH" and request.content_type == "application/merge-patch+json":
            return self._merge(request.path, await request.json())
        if request.method in {"PATCH", "PUT", "POST"}:
            return self._write(request.method, request.path, await request.json())
        if "limit" in request.query:
            wanted = dict(pair.split("=") for pair in request.query.get("labelSelector", "").split(",") if pair)
            items = [
                found
                for path, found in self.objects.items()
                if path.rpartition("/")[0] == request.path
                and wanted.items() <= found["metadata"].get("labels", {}).items()
            ]
            if self.hold is not None:
                await self.hold()
            return web.json_response({"items": items, "metadata": {}})
        found = self.objects.get(request.path)
        return web.json_response(found or {"message": "not found"}, status=200 if found else 404)


def _without(fields: Object, path: list[str]) -> Object:
    """The fields without the one at the path."""
    name, *rest = path
    if rest and name in fields:
        return {**fields, name: _without(fields[name], rest)}
    return {field: value for field, value in fields.items() if field != name}


@asynccontextmanager
async def serving(server: ApiServer) -> AsyncIterator[Client]:
    """A client of the server."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = Client(ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")), lambda: None)
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()
