"""The lab's own calls to the cluster's API server."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from rtx_lab.errors import LabError
from rtx_lab.instance import Instance

DEADLINE_SECONDS = 10.0


@dataclass(frozen=True)
class Api:
    """A client with the administrator's certificate."""

    server: str
    context: ssl.SSLContext

    def is_ready(self) -> bool:
        """Whether /readyz returns ok; False also when the API server is unreachable."""
        try:
            return self._request("GET", "/readyz") == b"ok"
        except OSError:
            return False

    def get(self, path: str) -> dict[str, Any]:
        """The object or list at `path`; empty on 404. Raises OSError on other errors and when there is no response."""
        try:
            return dict(json.loads(self._request("GET", path)))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise

    def create(self, path: str, manifest: dict[str, Any]) -> None:
        """Creates an object in the collection at `path` unless it exists. Raises LabError, OSError."""
        try:
            self._request("POST", path, json.dumps(manifest).encode())
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise LabError(f"The API server rejected POST {path}: {error.read().decode()[:300]}") from error

    def merge_patch(self, path: str, patch: dict[str, Any]) -> None:
        """Merges `patch` into the object at `path`. Raises OSError."""
        self._request("PATCH", path, json.dumps(patch).encode(), "application/merge-patch+json")

    def ready_nodes(self) -> dict[str, bool]:
        """Whether each node is Ready, by name. Raises OSError."""
        return {item["metadata"]["name"]: _is_ready(item) for item in self.get("/api/v1/nodes").get("items", [])}

    def _request(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> bytes:
        headers = {"Content-Type": content_type} if body else {}
        request = urllib.request.Request(self.server + path, data=body, headers=headers, method=method)  # noqa: S310 -- our own https address
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS, context=self.context) as response:  # noqa: S310 -- same
            return bytes(response.read())


def connect(instance: Instance) -> Api:
    context = ssl.create_default_context(cafile=str(instance.pki / "ca.crt"))
    context.load_cert_chain(instance.pki / "admin.crt", instance.pki / "admin.key")
    return Api(instance.server, context)


def _is_ready(item: dict[str, Any]) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
