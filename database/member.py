"""What a member of the database does besides Patroni: it prepares its volume, and gives the primary its roles.

`member join` runs before Patroni, and Patroni runs `member on_start|on_role_change ROLE SCOPE`. PostgreSQL runs
`member copy SEGMENT` by its restore_command.
"""

import json
import os
import sys
import time
import urllib.parse
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import cluster_state
import postgresql
from cluster_api import ClusterApi, ClusterApiError
from cluster_state import SCOPE_LABEL, Due

MAX_MEMBERS = 3
RETRY_SECONDS = 1.0
LOG_SECONDS = 30.0  # between two lines about the same wait
ROLE_LABEL = "rtx-trading.com/role"
PRIMARY = "primary"

Object = dict[str, Any]
Result = TypeVar("Result")


def main(arguments: list[str]) -> None:
    """Runs one of the commands above."""
    member = Member(ClusterApi.of_this_pod(), os.environ["POD_NAME"])
    match arguments:
        case ["join"]:
            member.join()
        case ["copy", segment]:
            member.copy_if_lost(segment)
        case ["on_start" | "on_role_change", role, _scope]:
            member.take_role(role)
        case _:
            sys.exit("usage: member join | member copy SEGMENT | member on_start|on_role_change ROLE SCOPE")


class Begins(Enum):
    """Whether a member with an empty volume makes the database, or copies that of the others."""

    YES = "yes"
    NO = "no"


class Member:
    """One server of the cluster, by its pod's name: NAME-0 is the first one."""

    def __init__(self, api: ClusterApi, pod: str) -> None:
        self.api = api
        self.pod = pod
        self.cluster, _, self.ordinal = pod.rpartition("-")

    @property
    def is_first(self) -> bool:
        """Only the first member may begin a cluster: two that begin at the same time would make two."""
        return self.ordinal == "0"

    def join(self) -> None:
        """Returns once Patroni may run: the state is owned, and a volume that begins the cluster has a database."""
        if self.prepare(has_data=postgresql.has_data()) is Begins.YES:
            postgresql.initialise()

    def prepare(self, *, has_data: bool) -> Begins:
        """Owns the state. Waits until the cluster has begun, unless this member begins it."""
        _until(self._own_the_state, "the Kubernetes API")
        if not self.is_first:
            _until(self._is_initialised, f"{self.cluster}-0, which begins the cluster")
        return Begins.NO if has_data or not self.is_first else _until(self._begins, "the Kubernetes API")

    def take_role(self, role: str) -> None:
        """Lets clients in. A primary sets roles and passwords first; a standby has them from its primary."""
        if role == PRIMARY:
            _until(self.end_other_primaries, "the lock of the primary")
            _until(postgresql.set_roles, "roles and passwords")
        else:
            _until(self._has_other_leader, "a primary")
        _until(postgresql.admit_clients, "PostgreSQL")

    def copy_if_lost(self, segment: str) -> None:
        """A standby that waits for a segment which the primary has no more is copied anew."""
        leader = self._state("leader")
        address = self._address(leader) if leader not in {"", self.pod} else ""
        if address and postgresql.has_segment(address, segment) is False:
            print(f"{leader} has no {segment} any more: {self.pod} is copied anew", file=sys.stderr, flush=True)
            postgresql.reinitialise()

    def _address(self, pod: str) -> str:
        """Where the server of a pod listens, as Patroni says; empty: it does not."""
        live = self.api.get("pods", pod) or {"metadata": {}}
        status = json.loads((live["metadata"].get("annotations") or {}).get("status", "{}"))
        return urllib.parse.urlsplit(status.get("conn_url", "")).hostname or ""

    def _own_the_state(self) -> bool:
        """Makes this member's claim an owner of each ConfigMap. False: the first member has to empty one before."""
        claims = self._claims()
        mine = claims[f"data-{self.pod}"]
        uids = {claim["uid"] for claim in claims.values()}
        for suffix in cluster_state.NAMES:
            name = f"{self.cluster}-{suffix}"
            live = self.api.get("configmaps", name)
            if live is None:
                self.api.create("configmaps", cluster_state.new(name, self.cluster, mine))
                continue
            match cluster_state.due(live, mine, uids):
                case Due.OWN:
                    self.api.patch("configmaps", name, cluster_state.owned(live, mine))
                case Due.EMPTY if self.is_first:
                    self.api.patch("configmaps", name, cluster_state.emptied(live, mine))
                case Due.EMPTY:
                    return False
                case Due.NOTHING:
                    pass
        return True

    def _claims(self) -> dict[str, Object]:
        """The claims that exist, as owner references, by name."""
        names = [f"data-{self.cluster}-{ordinal}" for ordinal in range(MAX_MEMBERS)]
        live = ((name, self.api.get("persistentvolumeclaims", name)) for name in names)
        return {name: cluster_state.owner(claim) for name, claim in live if claim is not None}

    def _state(self, suffix: str) -> str:
        """Whether the cluster has data, by their system identifier; who leads. Empty: nobody says."""
        annotation = {"config": "initialize", "leader": "leader"}[suffix]
        live = self.api.get("configmaps", f"{self.cluster}-{suffix}") or {"metadata": {}}
        return (live["metadata"].get("annotations") or {}).get(annotation) or ""

    def _begins(self) -> Begins:
        return Begins.NO if self._is_initialised() else Begins.YES

    def _is_initialised(self) -> bool:
        return bool(self._state("config"))

    def _is_leader(self) -> bool:
        return self._state("leader") == self.pod

    def _has_other_leader(self) -> bool:
        return self._state("leader") not in {"", self.pod}

    def end_other_primaries(self) -> bool:
        """Takes the label from a primary of before, which on a node that is cut off cannot do so itself. False: another
        server leads.
        """
        if not self._is_leader():
            return False
        for pod in self.api.select("pods", {SCOPE_LABEL: self.cluster, ROLE_LABEL: PRIMARY}):
            if pod["metadata"]["name"] != self.pod:
                self.api.patch("pods", pod["metadata"]["name"], {"metadata": {"labels": {ROLE_LABEL: None}}})
        return True


def _until(attempt: Callable[[], Result], what: str) -> Result:
    """The first result that is true. Patroni ends a callback when the next one begins."""
    logged = -LOG_SECONDS
    while True:
        why = ""
        try:
            if result := attempt():
                return result
        except ClusterApiError as error:
            why = f": {error}"
        if time.monotonic() - logged >= LOG_SECONDS:
            logged = time.monotonic()
            print(f"waiting for {what}{why}", file=sys.stderr, flush=True)
        time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
