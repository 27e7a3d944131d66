"""A client of the API server: plain dicts in and out, a deadline for each request, one exception class per meaning.

Typed models are not used, because they would drop fields that they do not know. Every write first calls the leadership
guard: a replica that lost its Lease while it was frozen must not write after it wakes up.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from rtx_operator.metrics import API_REQUESTS

Object = dict[str, Any]
Page = tuple[list[Object], str]  # some objects of a list, and the list's resourceVersion

FIELD_MANAGER = "rtx-operator"
REQUEST_DEADLINE_SECONDS = 10.0  # for one request, including the connection
LIST_PAGE_OBJECTS = 500  # at most, in one page of a list
# Of a watch: the API server sends a bookmark each minute, so a connection that is silent for longer is dead.
WATCH_SILENCE_SECONDS = 150.0

_CONTENT_TYPES = {
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
}


class ApiError(Exception):
    """The API server refused a request (`code` is the HTTP status), or did not respond (`code` is 0)."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


class ConflictError(ApiError):
    """Another writer changed or created the object first (409): read it again."""


class InvalidError(ApiError):
    """The API server rejects the object's content (422)."""


class UnreachableError(ApiError):
    """No response within REQUEST_DEADLINE_SECONDS; it is unknown whether a write took place."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object and its path at the API server."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of the object `name`, or of its subresource.

        Without a namespace: of a kind that is in none, or of the objects of all namespaces.
        """
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [root, *(["namespaces", namespace] if namespace else []), self.plural, name, subresource]
        return "/".join(part for part in parts if part)


async def connect(guard: Callable[[], None]) -> "Client":
    """A client for the cluster of this pod; outside of a cluster, for the current context of KUBECONFIG.

    `guard` is called before each write, and raises when this replica may not write.
    Raises ConfigException when there is neither a cluster nor a KUBECONFIG.
    """
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        await load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return Client(ApiClient(configuration), guard)


class Client:
    """Sends requests to one API server, as the field manager FIELD_MANAGER.

    Every method raises ApiError when the API server refuses the request, and UnreachableError when it does not answer.
    A method that writes also raises what the guard raises.
    """

    def __init__(self, api: ApiClient, guard: Callable[[], None]) -> None:
        self._api = api
        self._api.user_agent = FIELD_MANAGER  # identifies the operator in the audit log
        self._guard = guard

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The current object; None when it does not exist."""
        try:
            return await self._request("get", resource.path(namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def discover(self, path: str) -> Object | None:
        """The discovery document of an API group (`/apis/GROUP`) or version; None when it is not served."""
        try:
            return await self._request("get", path)
        except ApiError as error:
            # 503: the server of an aggregated API is down.
            if error.code in {404, 503}:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str, *, labels: Mapping[str, str] | None = None, fields: str = ""
    ) -> list[Object]:
        """All objects of a kind with all of `labels`; `fields` is a field selector in Kubernetes' syntax."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        items: list[Object] = []
        async for page, _ in self._pages(resource, namespace, selector, fields):
            items += page
        return items

    def pages(self, resource: Resource, namespace: str, *, labels: str) -> AsyncIterator[Page]:
        """All objects of a kind that the label selector chooses, in all namespaces if it is empty: page by page."""
        return self._pages(resource, namespace, labels, "")

    async def _pages(self, resource: Resource, namespace: str, labels: str, fields: str) -> AsyncIterator[Page]:
        query = {"limit": str(LIST_PAGE_OBJECTS), "fieldSelector": fields, "labelSelector": labels}
        while True:
            page = await self._request("list", resource.path(namespace), query=query)
            meta = page["metadata"]
            # The items of a list have no apiVersion and kind of their own.
            items = [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in page["items"]]
            yield items, str(meta.get("resourceVersion", ""))
            query["continue"] = meta.get("continue", "")
            if not query["continue"]:
                return

    async def watch(
        self, resource: Resource, namespace: str, *, label: str, version: str, seconds: int
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """The events (type, object) of a kind with the label after `version`, for `seconds`.

        An empty `namespace` stands for all. A caller that leaves it earlier closes it. Raises UnreachableError, also
        when the connection breaks.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": label,
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(
            total=seconds + REQUEST_DEADLINE_SECONDS,
            sock_connect=REQUEST_DEADLINE_SECONDS,
            sock_read=WATCH_SILENCE_SECONDS,
        )
        path, code = resource.path(namespace), 0
        try:
            response = await self._send("GET", path, query, None, "", timeout)
            code = response.status
            async with response:  # which closes the connection, also when the caller has had enough
                if code >= 400:
                    raise _error(code, await response.read())
                async for line in response.content:
                    event = json.loads(line)
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable("watch", path, error) from error
        finally:
            API_REQUESTS.labels("watch", code).inc()

    async def apply(self, resource: Resource, body: Object) -> Object:
        """Apply `body` by server-side apply, and return the object. Takes its fields over from other field managers."""
        meta = body["metadata"]
        path = resource.path(meta["namespace"], meta["name"])
        return await self._request(
            "apply", path, query={"fieldManager": FIELD_MANAGER, "force": "true"}, body=body, patch="apply"
        )

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create an object and return it. Raises ConflictError when one of that name exists."""
        path = resource.path(body["metadata"]["namespace"])
        return await self._request("create", path, query={"fieldManager": FIELD_MANAGER}, body=body)

    async def replace(self, resource: Resource, body: Object, subresource: str = "") -> Object:
        """Replace the object, or its subresource, and return it.

        Raises ConflictError when the live object's resourceVersion differs from that of `body`.
        """
        meta = body["metadata"]
        path = resource.path(meta["namespace"], meta["name"], subresource)
        return await self._request("update", path, query={"fieldManager": FIELD_MANAGER}, body=body)

    async def merge(self, resource: Resource, live: Object, changes: Object) -> Object:
        """Merge `changes` into the object and return it; None removes a field.

        Raises ConflictError when `live` is out of date.
        """
        meta = live["metadata"]
        guard = {"resourceVersion": meta["resourceVersion"]}
        body = {**changes, "metadata": {**changes.get("metadata", {}), **guard}}
        path = resource.path(meta["namespace"], meta["name"])
        return await self._request("patch", path, query={"fieldManager": FIELD_MANAGER}, body=body, patch="merge")

    async def scale(self, resource: Resource, live: Object, replicas: int) -> None:
        """Set the number of pods of the workload `live`. Raises ConflictError when it has changed since it was read."""
        meta = live["metadata"]
        body = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "spec": {"replicas": replicas}}
        path = resource.path(meta["namespace"], meta["name"], "scale")
        await self._request("patch", path, query={"fieldManager": FIELD_MANAGER}, body=body, patch="merge")

    async def delete(self, resource: Resource, live: Object, *, propagation: str = "Background") -> None:
        """Delete the object with the uid of `live`. Does nothing when it is gone, or replaced by another."""
        meta = live["metadata"]
        body = {"preconditions": {"uid": meta["uid"]}, "propagationPolicy": propagation}
        try:
            await self._request("delete", resource.path(meta["namespace"], meta["name"]), body=body)
        except ApiError as error:
            if error.code not in {404, 409}:
                raise

    async def evict(self, pod: Object) -> None:
        """Evict the pod with the uid of `pod`. Does nothing when it is gone, or replaced by another."""
        meta = pod["metadata"]
        name = {"name": meta["name"], "namespace": meta["namespace"]}
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": name,
            "deleteOptions": {"preconditions": {"uid": meta["uid"]}},
        }
        path = Resource("v1", "Pod", "pods").path(meta["namespace"], meta["name"], "eviction")
        try:
            await self._request("create", path, body=body)
        except ApiError as error:
            if error.code not in {404, 409}:
                raise

    async def _request(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        patch: str = "",
    ) -> Object:
        method = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "delete": "DELETE"}.get(verb, "PATCH")
        if method != "GET":
            self._guard()
        code = 0
        try:
            response = await self._send(method, path, query or {}, body, patch, _TIMEOUT)
            code = response.status
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(verb, path, error) from error
        finally:
            API_REQUESTS.labels(verb, code).inc()
        if code >= 400:
            raise _error(code, content)
        parsed: Object = json.loads(content)
        return parsed

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        patch: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        arguments = await self._api.param_serialize(
            method,
            path,
            query_params=[(key, value) for key, value in query.items() if value],
            header_params={"Accept": "application/json", "Content-Type": _CONTENT_TYPES.get(patch, _JSON)},
            body=body,
            auth_settings=["BearerToken"],
        )
        response: aiohttp.ClientResponse = (await self._api.call_api(*arguments, _request_timeout=limits)).response
        return response


_JSON = "application/json"
_TIMEOUT = aiohttp.ClientTimeout(total=REQUEST_DEADLINE_SECONDS)


def _unreachable(verb: str, path: str, error: Exception) -> UnreachableError:
    return UnreachableError(0, "Unreachable", f"the API server did not respond to {verb} {path}: {error!r}")


def _error(code: int, content: bytes) -> ApiError:
    """The ApiError for a response with status `code`, 400 or above."""
    try:
        status = json.loads(content)
        reason, message = str(status.get("reason", code)), str(status.get("message", ""))
    except (ValueError, AttributeError):  # a proxy's response, not the API server's
        reason, message = str(code), content[:200].decode(errors="replace")
    if code == 500 and "field not declared in schema" in message:
        code, reason = 422, "Invalid"  # server-side apply's response to an unknown field
    kind = {409: ConflictError, 422: InvalidError}.get(code, ApiError)
    return kind(code, reason, message)
