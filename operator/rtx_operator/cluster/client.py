"""A thin client of the API server: plain dicts in and out, a deadline on each call, errors by meaning.

Typed models would drop fields that they do not know, so they are not used. Every write first asks the leadership guard:
a replica that lost its Lease while it was frozen must not write when it wakes up.
"""

import json
from collections.abc import Callable, Mapping
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

FIELD_MANAGER = "rtx-operator"
REQUEST_DEADLINE = 10.0  # seconds for one request, connecting included
LIST_PAGE = 500

_CONTENT_TYPES = {
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
}


class ApiError(Exception):
    """The API server refused a request, or did not answer (code 0)."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


class ConflictError(ApiError):
    """Somebody else wrote the object first (409): read it again."""


class InvalidError(ApiError):
    """The API server finds the object wrong (422)."""


class UnreachableError(ApiError):
    """No answer within the deadline: whether a write took place is not known."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object and where the API server keeps it."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of the object `name`, or of its subresource."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [root, "namespaces", namespace, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


async def connect(guard: Callable[[], None]) -> "Client":
    """A client for the cluster this process runs in, else for the current context of KUBECONFIG.

    `guard` is called before each write and raises if this replica may not write.
    Raises ConfigException when there is neither.
    """
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        await load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return Client(ApiClient(configuration), guard)


class Client:
    """Requests to one API server, on behalf of the operator's field manager."""

    def __init__(self, api: ApiClient, guard: Callable[[], None]) -> None:
        self._api = api
        self._api.user_agent = FIELD_MANAGER  # by which the audit log tells our requests from others
        self._guard = guard

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object as it is now, or None."""
        try:
            return await self._request("get", resource.path(namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def discover(self, path: str) -> Object | None:
        """What the API server says about a group (`/apis/GROUP`) or version of it; None when it is not served."""
        try:
            return await self._request("get", path)
        except ApiError as error:
            # 503: an aggregated API whose server is away is not served either.
            if error.code in {404, 503}:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str, *, labels: Mapping[str, str] | None = None, fields: str = ""
    ) -> list[Object]:
        """All objects of a kind that carry `labels`; `fields` is a field selector as Kubernetes writes it."""
        query = {"limit": str(LIST_PAGE), "fieldSelector": fields}
        query["labelSelector"] = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        items: list[Object] = []
        while True:
            page = await self._request("list", resource.path(namespace), query=query)
            # A list does not repeat what is the same for all its items.
            items += [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in page["items"]]
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return items

    async def apply(self, resource: Resource, body: Object) -> Object:
        """Server-side apply with our field manager; a field that another manager changed becomes ours again."""
        meta = body["metadata"]
        path = resource.path(meta["namespace"], meta["name"])
        return await self._request(
            "apply", path, query={"fieldManager": FIELD_MANAGER, "force": "true"}, body=body, patch="apply"
        )

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create an object; raises ConflictError when it is there already."""
        path = resource.path(body["metadata"]["namespace"])
        return await self._request("create", path, query={"fieldManager": FIELD_MANAGER}, body=body)

    async def replace(self, resource: Resource, body: Object, subresource: str = "") -> Object:
        """Replace what was read; raises ConflictError when it changed since (its resourceVersion is sent along)."""
        meta = body["metadata"]
        path = resource.path(meta["namespace"], meta["name"], subresource)
        return await self._request("update", path, query={"fieldManager": FIELD_MANAGER}, body=body)

    async def scale(self, resource: Resource, live: Object, replicas: int) -> None:
        """Set the size of the workload `live`; raises ConflictError when it changed since it was read."""
        meta = live["metadata"]
        body = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "spec": {"replicas": replicas}}
        path = resource.path(meta["namespace"], meta["name"], "scale")
        await self._request("patch", path, query={"fieldManager": FIELD_MANAGER}, body=body, patch="merge")

    async def delete(self, resource: Resource, live: Object, *, propagation: str = "Background") -> None:
        """Delete exactly the object `live`; one that is gone already, or was made anew since, is left alone."""
        meta = live["metadata"]
        body = {"preconditions": {"uid": meta["uid"]}, "propagationPolicy": propagation}
        try:
            await self._request("delete", resource.path(meta["namespace"], meta["name"]), body=body)
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
            arguments = await self._api.param_serialize(
                method,
                path,
                query_params=[(key, value) for key, value in (query or {}).items() if value],
                header_params={"Accept": "application/json", "Content-Type": _CONTENT_TYPES.get(patch, _JSON)},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._api.call_api(*arguments, _request_timeout=_TIMEOUT)
            code = response.status
            content = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(
                0, "Unreachable", f"the API server gave no answer to {verb} {path}: {error!r}"
            ) from error
        finally:
            API_REQUESTS.labels(verb, code).inc()
        if code >= 400:
            raise _error(code, content)
        answer: Object = json.loads(content)
        return answer


_JSON = "application/json"
_TIMEOUT = aiohttp.ClientTimeout(total=REQUEST_DEADLINE)


def _error(code: int, content: bytes) -> ApiError:
    """The error that an answer of the API server stands for."""
    try:
        status = json.loads(content)
        reason, message = str(status.get("reason", code)), str(status.get("message", ""))
    except (ValueError, AttributeError):  # not from the API server itself: a proxy in between
        reason, message = str(code), content[:200].decode(errors="replace")
    if code == 500 and "field not declared in schema" in message:
        code, reason = 422, "Invalid"  # what server-side apply says to a field that the kind does not have
    kind = {409: ConflictError, 422: InvalidError}.get(code, ApiError)
    return kind(code, reason, message)
