"""What a member of the database does besides Patroni: it prepares its volume, and gives the primary its roles.

`member join` runs before Patroni, and Patroni runs `member on_start|on_role_change ROLE SCOPE`. PostgreSQL runs
`member copy SEGMENT` by its restore_command.

Patroni keeps the state of the cluster in ConfigMaps: which data it is about, who leads, who may be promoted. That state
is worth as much as the data, so the volume claims own it: it goes when the last of them goes, and no sooner (ADR 0119).
"""

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cluster_api import ClusterApi, ClusterApiError

DATA = Path("/pgdata/data")
RUN = Path("/run/postgresql")
CONFIG = Path("/etc/rtx-postgres")
DATABASE = "trading_engine"
PATRONI_PORT = 8008
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
RETRY_SECONDS = 1.0
LOG_SECONDS = 30.0  # between two lines about the same wait

STATE = ("config", "leader", "sync", "failover")  # ends the names of Patroni's ConfigMaps
CONFIGURATION = "config"  # the annotation that is the operator's, not a state
ROLE_LABEL = "rtx-trading.com/role"
SCOPE_LABEL = "rtx-trading.com/database-cluster"
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
        _until(self._own_the_state, "the Kubernetes API")
        if not self.is_first:
            _until(self._is_initialised, f"{self.cluster}-0, which begins the cluster")
        elif not DATA.exists() and not _until(lambda: [self._state("config")], "the Kubernetes API")[0]:
            _initialise()

    def take_role(self, role: str) -> None:
        """Lets clients in. A primary sets roles and passwords first; a standby has them from its primary."""
        if role == PRIMARY:
            _until(self._is_leader, "the lock of the primary")
            _until(self._end_other_primaries, "the Kubernetes API")
            _until(_set_roles, "roles and passwords")
        else:
            _until(self._has_other_leader, "a primary")
        _until(_admit_clients, "PostgreSQL")

    def copy_if_lost(self, segment: str) -> None:
        """A standby that waits for a segment which the primary has no more is copied anew."""
        leader = self._state("leader")
        address = self._address(leader) if leader not in {"", self.pod} else ""
        if address and _has_segment(address, segment) is False:
            print(f"{leader} has no {segment} any more: {self.pod} is copied anew", file=sys.stderr, flush=True)
            _reinitialise()

    def _address(self, pod: str) -> str:
        """Where the server of a pod listens, as Patroni says; empty: it does not."""
        live = self.api.get("pods", pod) or {"metadata": {}}
        status = json.loads((live["metadata"].get("annotations") or {}).get("status", "{}"))
        return urllib.parse.urlsplit(status.get("conn_url", "")).hostname or ""

    def _own_the_state(self) -> bool:
        """Makes this member's claim an owner of each ConfigMap; one whose claims are all gone is void, and emptied."""
        claims = self._claims()
        mine = claims[f"data-{self.pod}"]
        for suffix in STATE:
            name = f"{self.cluster}-{suffix}"
            live = self.api.get("configmaps", name)
            if live is None:
                self.api.create("configmaps", self._config_map(name, mine))
                continue
            owners = [one for one in live["metadata"].get("ownerReferences", []) if one["kind"] == mine["kind"]]
            known = {claim["uid"] for claim in claims.values()}
            is_void = bool(owners) and not known & {owner["uid"] for owner in owners}
            if is_void and not self.is_first:
                return False  # the first one empties it
            if is_void or mine["uid"] not in {owner["uid"] for owner in owners}:
                self.api.patch("configmaps", name, _owned(live, mine, is_void=is_void))
        return True

    def _claims(self) -> dict[str, Object]:
        """The claims that exist, as owner references, by name."""
        names = (f"data-{self.cluster}-{ordinal}" for ordinal in range(3))
        live = ((name, self.api.get("persistentvolumeclaims", name)) for name in names)
        return {
            name: {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": name,
                "uid": claim["metadata"]["uid"],
            }
            for name, claim in live
            if claim is not None
        }

    def _config_map(self, name: str, owner: Object) -> Object:
        metadata = {"name": name, "labels": {SCOPE_LABEL: self.cluster}, "ownerReferences": [owner]}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

    def _state(self, suffix: str) -> str:
        """Whether the cluster has data, by their system identifier; who leads. Empty: nobody says."""
        annotation = {"config": "initialize", "leader": "leader"}[suffix]
        live = self.api.get("configmaps", f"{self.cluster}-{suffix}") or {"metadata": {}}
        return (live["metadata"].get("annotations") or {}).get(annotation) or ""

    def _is_initialised(self) -> bool:
        return bool(self._state("config"))

    def _is_leader(self) -> bool:
        return self._state("leader") == self.pod

    def _has_other_leader(self) -> bool:
        return self._state("leader") not in {"", self.pod}

    def _end_other_primaries(self) -> bool:
        """Takes the label from a primary of before: on a node that is cut off, it cannot do so itself."""
        if not self._is_leader():
            return False
        for pod in self.api.select("pods", {SCOPE_LABEL: self.cluster, ROLE_LABEL: PRIMARY}):
            if pod["metadata"]["name"] != self.pod:
                self.api.patch("pods", pod["metadata"]["name"], {"metadata": {"labels": {ROLE_LABEL: None}}})
        return True


def _owned(live: Object, owner: Object, *, is_void: bool) -> Object:
    """The patch that adds the owner; of a void state, it also takes away the owners that are gone, and what it says."""
    meta = live["metadata"]
    kept = [one for one in meta.get("ownerReferences", []) if not (is_void and one["kind"] == owner["kind"])]
    emptied = [key for key in meta.get("annotations") or {} if key != CONFIGURATION] if is_void else []
    metadata: Object = {"resourceVersion": meta["resourceVersion"], "ownerReferences": [*kept, owner]}
    return {"metadata": {**metadata, "annotations": dict.fromkeys(emptied)} if emptied else metadata}


def _initialise() -> None:
    """An empty database. The rename makes it whole: a killed pod leaves no half of one."""
    new = DATA.with_name("new")
    shutil.rmtree(new, ignore_errors=True)
    options = ["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions"]
    access = ["--auth-local=trust", "--auth-host=scram-sha-256"]
    subprocess.run(["initdb", f"--pgdata={new}", *options, *access], check=True)
    # Patroni logs in with this role before the server is the primary, which makes the others.
    role = "CREATE ROLE rtx_replicator LOGIN REPLICATION"
    subprocess.run(["postgres", "--single", "-D", new, "postgres"], input=role, text=True, check=True)
    new.rename(DATA)
    os.sync()


def _set_roles() -> bool:
    """The extension has a session per statement: if this image lacks the library of the TimescaleDB version on the
    volume, only the first statement of a session can update it.
    """
    extension = ("CREATE EXTENSION IF NOT EXISTS timescaledb", "ALTER EXTENSION timescaledb UPDATE")
    return _psql("postgres", f"--file={CONFIG / 'roles.sql'}") and all(
        _psql(DATABASE, f"--command={statement}") for statement in extension
    )


def _admit_clients() -> bool:
    """pg_hba.conf includes this file, which is empty until now."""
    unfinished = RUN / "clients.conf.new"
    shutil.copyfile(CONFIG / "clients.conf", unfinished)
    unfinished.rename(RUN / "clients.conf")
    return _psql("postgres", "--command=SELECT pg_reload_conf()")


def _psql(database: str, *arguments: str) -> bool:
    """As the superuser, by the socket. Waits for no standby: without one, no commit would end."""
    address = [f"--host={RUN}", "--username=postgres", f"--dbname={database}", "--output=/dev/null"]
    settings = "-c client_min_messages=warning -c synchronous_commit=local -c statement_timeout=0"
    environment = {**os.environ, "PGOPTIONS": settings, "PGCONNECT_TIMEOUT": "5"}
    return subprocess.run([*PSQL, *address, *arguments], env=environment, check=False).returncode == 0


def _has_segment(address: str, segment: str) -> bool | None:
    """Whether the primary has this part of the log, of that timeline or of its own; None: it does not answer."""
    name = f"'pg_wal/' || timeline || '{segment[8:]}'"
    timelines = f"VALUES ('{segment[:8]}'), (left(pg_walfile_name(pg_current_wal_lsn()), 8))"
    query = f"SELECT bool_or((pg_stat_file({name}, true)).size IS NOT NULL) FROM ({timelines}) AS log (timeline)"  # noqa: S608  # of PostgreSQL's restore_command
    host = [f"--host={address}", "--username=rtx_replicator", "--dbname=postgres", f"--command={query}"]
    environment = {**os.environ, "PGPASSWORD": os.environ["DB_REPLICATION_PASSWORD"], "PGCONNECT_TIMEOUT": "5"}
    done = subprocess.run([*PSQL, *host], env=environment, check=False, capture_output=True, text=True)
    return {"t": True, "f": False}.get(done.stdout.strip()) if done.returncode == 0 else None


def _reinitialise() -> None:
    """Has Patroni take the data away, and copy those of the primary."""
    login = base64.b64encode(f"patroni:{os.environ['RESTAPI_PASSWORD']}".encode()).decode()
    connection = http.client.HTTPConnection("localhost", PATRONI_PORT, timeout=5)
    connection.request("POST", "/reinitialize", "{}", {"Authorization": f"Basic {login}"})
    response = connection.getresponse()
    print(f"Patroni answers {response.status}: {response.read().decode()}", file=sys.stderr, flush=True)
    connection.close()


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
