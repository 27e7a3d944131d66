"""The operator's rights in manifests/operator are those that its requests need, and no others."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import ApiServer, serving
from cutover_world import World
from desired_objects import FULL, SMALL, build_input, everything
from rtx_operator.api.kinds import KINDS
from rtx_operator.cluster import events
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.lease import Lease
from rtx_operator.cluster.observe.objects import read_objects, read_warnings
from rtx_operator.cluster.perform.objects import ObjectPerformer
from rtx_operator.cluster.perform.refusals import Refusals
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import (
    BACKUP,
    BY_KIND,
    CHILDREN,
    ENGINE,
    GRANDCHILDREN,
    OURS,
    RESTORE,
    SECRET,
    VOLUME,
    VOLUME_CLAIM,
)
from rtx_operator.decision.prune import PRUNABLE_KINDS
from rtx_operator.observation import Object, Observation, Owner
from rtx_operator.operations.effects import Scale

Right = tuple[str, str, str]  # API group, resource with its subresource, verb
MANIFESTS = Path(__file__).parents[3] / "manifests"
METHODS = {"POST": ("create",), "PUT": ("update",), "DELETE": ("delete",)}
# Admission asks for this one: OwnerReferencesPermissionEnforcement.
BY_ADMISSION = {("rtx-trading.com", "tradingengines/finalizers", "update")}

# RBAC lets nobody give rights that they have not: the operator gives these to the pods of databases.
GIVEN = {("", "pods", "get"), ("", "pods", "patch")}


def rights(file: str, kind: str, name: str) -> set[Right]:
    for document in yaml.safe_load_all((MANIFESTS / file).read_text(encoding="utf-8")):
        if (document["kind"], document["metadata"]["name"]) == (kind, name):
            return {
                (group, resource, verb)
                for rule in document["rules"]
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    raise AssertionError(f"no {kind} {name} in {file}")


class Recording(ApiServer):
    """Records the right that each request needs."""

    def __init__(self) -> None:
        super().__init__()
        self.needed: set[Right] = set()

    async def handle(self, request: Any) -> Any:
        self.needed |= set(needed_by(request.method, request.path, request.content_type, dict(request.query)))
        return await super().handle(request)


def needed_by(method: str, path: str, content_type: str, query: dict[str, str]) -> Iterator[Right]:
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    if not rest:
        return  # discovery: every account may
    resource, *named = rest[2:] if rest[0] == "namespaces" else rest
    target = "/".join([resource, *named[1:]])
    verbs = METHODS.get(method) or (("get",) if named else ("list",))
    if method == "PATCH":
        verbs = ("patch",) if content_type == "application/merge-patch+json" else ("patch", "create")
    yield from ((group, target, verb) for verb in verbs)


def watched() -> Iterator[Right]:
    """What is listed and watched: the objects of the API by kopf, their children by cluster/watch.py."""
    for resource in (*OURS.values(), *CHILDREN, *GRANDCHILDREN):
        group = resource.api_version.rpartition("/")[0]
        yield from ((group, resource.plural, verb) for verb in ("list", "watch"))


async def perform_everything(client: Client, worlds: Iterable[World]) -> None:
    """Every kind of request of a reconcile: reads, applies, deletes, scaling, Events and status."""
    cache = ReadCache(client)
    for user_secret in ("", "mine"):
        objects = await read_objects(client, cache, "trading", "rtx", user_secret)
    await read_warnings(client, "trading", {})
    owner = Owner("trading", "rtx", "uid-1")
    meta = {"name": "rtx", "namespace": "trading", "uid": "uid-1", "resourceVersion": "1"}
    engine = {"apiVersion": ENGINE.api_version, "kind": ENGINE.kind, "metadata": meta}
    performer = ObjectPerformer(client, Applier(client, cache), engine, owner, Refusals())
    nothing = Observation(children=objects.children)
    for spec in (SMALL, FULL):
        await performer.apply_all(everything(build_input(spec)), nothing)
    for kind in sorted(PRUNABLE_KINDS):
        await performer.delete_all([{"kind": kind, "metadata": {**meta, "name": "old"}}])
    pod = {"kind": "Pod", "metadata": {**meta, "name": "rtx-postgres-0"}}
    await performer.evict_all([pod])
    for world in worlds:
        await perform_walk(performer, world, nothing)
    for _ in range(2):
        await events.record(client, engine, "Repaired", "the same twice")
    await use_others(client)
    await client.get(VOLUME, "", "pv-1")
    await client.get(ENGINE, "trading", "rtx")
    await client.replace(ENGINE, {**engine, "status": {}}, "status")


async def use_others(client: Client) -> None:
    """What the controllers of backups and restores do to them: label and status; and the schedule's backups."""
    for resource in (BACKUP, RESTORE):
        live = await client.get(resource, "trading", "now")
        assert live
        labelled = await client.merge(resource, live, {"metadata": {"labels": {"of": "rtx"}}})
        named = {**labelled, "apiVersion": resource.api_version, "kind": resource.kind}
        await client.replace(resource, {**named, "status": {}}, "status")
    made = {"name": "scheduled", "namespace": "trading"}
    backup = {"apiVersion": BACKUP.api_version, "kind": BACKUP.kind, "metadata": made}
    await client.delete(BACKUP, await client.create(BACKUP, backup))


async def perform_walk(performer: ObjectPerformer, world: World, seen: Observation) -> None:
    """What an upgrade does to objects."""
    for _ in range(60):
        world.tick()
        intent = world.intend()
        for effect in intent.decision.commands():
            if isinstance(effect, Scale):
                await performer.client.scale(BY_KIND["Deployment"], scaled(effect), effect.replicas)
            elif objects := getattr(effect, "objects", ()):
                await (
                    performer.apply_all(objects, seen) if hasattr(effect, "guarded") else performer.delete_all(objects)
                )
        world.reconcile()


def scaled(effect: Scale) -> Object:
    metadata = {**effect.deployment["metadata"], "namespace": "trading"}
    return {**effect.deployment, "metadata": metadata}


async def test_rights_are_those_that_are_used(world: World) -> None:
    # Given every request of the operator: it installs, upgrades, prunes, and reports
    server = Recording()
    server.put(ENGINE, "rtx")
    server.put(SECRET, "rtx-internal", labels={})
    server.put(VOLUME_CLAIM, "data-rtx-postgres-0", labels={})
    for resource in (BACKUP, RESTORE):
        server.put(resource, "now")
    world.set_spec(version="1.1.0")
    async with serving(server) as client:
        await perform_everything(client, [world])

    # Then its ClusterRole allows all of them, and nothing else
    used = server.needed | set(watched()) | BY_ADMISSION | GIVEN
    roles = ("rtx-operator", "rtx-operator-volumes")
    allowed = set().union(*(rights("operator/rbac.yaml", "ClusterRole", role) for role in roles))
    assert allowed - used == set(), "rights that are not used"
    assert used - allowed == set(), "rights that are missing"


async def test_rights_on_the_lease_are_those_that_are_used() -> None:
    # Given a replica that takes its Lease, and gives it up
    server = Recording()
    lease = Lease("trading", "rtx-operator", "me")
    async with serving(server) as client:
        await lease.acquire(client)
        await lease.release(client)

    # Then its Role allows that, and nothing else
    assert server.needed == rights("operator/rbac.yaml", "Role", "rtx-operator-lease")


def test_operator_deletes_nothing_that_holds_data_or_passwords_or_traffic() -> None:
    deleted = {
        resource
        for _, resource, verb in rights("operator/rbac.yaml", "ClusterRole", "rtx-operator")
        if verb == "delete"
    }
    assert not deleted & {"persistentvolumeclaims", "secrets", "services", "deployments", "statefulsets", "pods"}


def test_people_with_view_read_engines_and_people_with_edit_change_them() -> None:
    view, edit = (rights("operator/roles.yaml", "ClusterRole", f"rtx-trading-{role}") for role in ("view", "edit"))

    assert {verb for _, _, verb in view} == {"get", "list", "watch"}
    assert {(resource, verb) for _, resource, verb in edit} == {
        (kind.plural, verb) for kind in KINDS for verb in ("create", "update", "patch", "delete", "deletecollection")
    }


def test_operator_of_some_namespaces_has_rights_in_no_others() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    built = subprocess.run(
        ["kubectl", "kustomize", MANIFESTS / "namespaced"], check=True, capture_output=True, timeout=60
    ).stdout
    documents = list(yaml.safe_load_all(built))

    everywhere = [one["roleRef"]["name"] for one in documents if one["kind"] == "ClusterRoleBinding"]
    assert everywhere == ["rtx-operator-volumes"]  # volumes are in no namespace
    bindings = {one["metadata"]["namespace"]: one for one in documents if one["kind"] == "RoleBinding"}
    assert bindings["rtx-trading"]["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "rtx-operator",
    }
    (deployment,) = (one for one in documents if one["kind"] == "Deployment")
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "WATCH_NAMESPACES", "value": "rtx-trading"} in environment
