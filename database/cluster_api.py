"""The Kubernetes API, for the few requests of a database member: by the pod's own account, in its own namespace."""

import http.client
import json
import os
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_SECONDS = 5.0
NOT_FOUND = 404

Object = dict[str, Any]


class ClusterApiError(Exception):
    """The API server was not reached, or it refused."""


@dataclass(frozen=True, slots=True)
class ClusterApi:
    """Requests to an API server, for objects of one namespace."""

    host: str
    port: int
    namespace: str
    account: Path  # the folder of token and authority, which the kubelet renews

    @classmethod
    def of_this_pod(cls) -> Self:
        """As the entry point knows it: Patroni hides Kubernetes' own variables from PostgreSQL."""
        return cls(os.environ["API_HOST"], int(os.environ["API_PORT"]), os.environ["POD_NAMESPACE"], ACCOUNT)

    def get(self, plural: str, name: str) -> Object | None:
        """The object; None when there is none. Raises ClusterApiError, like all of these."""
        return self._request("GET", f"{plural}/{name}")

    def select(self, plural: str, labels: Mapping[str, str]) -> list[Object]:
        """The objects with these labels."""
        selector = urllib.parse.quote(",".join(f"{key}={value}" for key, value in labels.items()))
        listed = self._request("GET", f"{plural}?labelSelector={selector}")
        return listed["items"] if listed else []

    def create(self, plural: str, new: Object) -> None:
        """Make the object."""
        self._request("POST", plural, new)

    def patch(self, plural: str, name: str, change: Object) -> None:
        """Change the fields of a merge patch; nothing when the object is gone."""
        self._request("PATCH", f"{plural}/{name}", change)

    def _request(self, method: str, path: str, body: Object | None = None) -> Object | None:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        where = f"/api/v1/namespaces/{self.namespace}/{path}"
        connection: http.client.HTTPSConnection | None = None
        try:
            token = (self.account / "token").read_text(encoding="utf-8")
            context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)
            headers = {"Authorization": f"Bearer {token.strip()}", "Content-Type": kind, "Accept": "application/json"}
            connection.request(method, where, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ClusterApiError(f"{method} {where}: {error}") from error
        finally:
            if connection is not None:
                connection.close()
        if response.status == NOT_FOUND and method in {"GET", "PATCH"}:
            return None
        if not http.client.OK <= response.status < http.client.MULTIPLE_CHOICES:
            raise ClusterApiError(f"{method} {where}: {response.status} {answer.get('message', '')}")
        return dict(answer)
