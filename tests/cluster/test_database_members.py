"""The servers of a database on a real API server: the rights of their pods, Services by role, and one node for each."""

import base64
from pathlib import Path
from urllib.parse import urlsplit

import cluster_state
import pytest
import yaml
from cluster_api import ClusterApi, ClusterApiError
from cluster_support import Cluster, Engine, eventually
from member import Begins, Member
from rtx_operator.api.enums import MemberRole
from rtx_operator.api.names import MAX_DATABASE_INSTANCES, Label, Names

NAMES = Names("rtx")
PODS = [f"{NAMES.postgres}-{ordinal}" for ordinal in range(MAX_DATABASE_INSTANCES)]
STATE = [f"{NAMES.postgres}-{suffix}" for suffix in cluster_state.NAMES]


@pytest.fixture
def three(engine: Engine, standby: None) -> Engine:
    """A ready engine with three database servers."""
    made = engine.with_spec(database={**engine.manifest["spec"]["database"], "instances": MAX_DATABASE_INSTANCES})
    made.apply()
    made.wait_ready()
    eventually(lambda: all(made.child("pod", pod) for pod in PODS), "there are three servers")
    return made


@pytest.fixture
def api(three: Engine, tmp_path: Path) -> ClusterApi:
    """The API server, as the account of the database's pods has it."""
    return account_of(three.cluster, three.namespace, NAMES.database_account, tmp_path)


def account_of(cluster: Cluster, namespace: str, account: str, folder: Path) -> ClusterApi:
    kubeconfig = yaml.safe_load(cluster.kubeconfig.read_text())
    server = kubeconfig["clusters"][0]["cluster"]
    authority = server.get("certificate-authority-data")
    given = base64.b64decode(authority) if authority else Path(server["certificate-authority"]).read_bytes()
    (folder / "ca.crt").write_bytes(given)
    (folder / "token").write_text(cluster.kubectl("create", "token", account, "-n", namespace).strip())
    address = urlsplit(server["server"])
    return ClusterApi(str(address.hostname), address.port or 443, namespace, folder)


def test_member_may_do_what_it_has_to(three: Engine, api: ClusterApi) -> None:
    # Given the account of the database's pods
    first, second = (Member(api, pod) for pod in PODS[:2])

    # When the first member joins, then it begins the cluster
    assert first.prepare(has_data=False) is Begins.YES
    api.patch("configmaps", NAMES.database_configuration, {"metadata": {"annotations": {"initialize": "1234567890"}}})
    assert second.prepare(has_data=False) is Begins.NO

    # Then the volume claims of both own the state
    for name in STATE:
        owners = (three.child("configmap", name) or {})["metadata"]["ownerReferences"]
        assert {f"data-{pod}" for pod in PODS[:2]} <= {owner["name"] for owner in owners}

    # When another server leads, then its pod becomes the only primary
    api.patch("configmaps", NAMES.database_leader, {"metadata": {"annotations": {"leader": PODS[1]}}})
    assert second.end_other_primaries()
    labels = (three.child("pod", PODS[0]) or {})["metadata"]["labels"]
    assert labels.get(Label.ROLE.value) != MemberRole.PRIMARY


def test_member_may_touch_nothing_else(three: Engine, api: ClusterApi) -> None:
    # Given pods, ConfigMaps and Secrets of the same namespace that are not the database's
    [engine_pod, *_] = three.cluster.list("pods", "-n", three.namespace, "-l", "app.kubernetes.io/component=engine")
    change = {"metadata": {"labels": {"touched": "true"}}}

    # Then its account may change none of them, and read no Secret
    for plural, name in (("pods", engine_pod["metadata"]["name"]), ("configmaps", NAMES.postgres)):
        with pytest.raises(ClusterApiError, match="403"):
            api.patch(plural, name, change)
    for plural, name in (("secrets", NAMES.internal), ("persistentvolumeclaims", f"data-{NAMES.redis}-0")):
        with pytest.raises(ClusterApiError, match="403"):
            api.get(plural, name)


def test_state_goes_with_the_volumes(three: Engine, api: ClusterApi) -> None:
    # Given a cluster of retained volumes, whose members own its state
    for pod in PODS:
        api.patch("configmaps", NAMES.database_configuration, {"metadata": {"annotations": {"initialize": "1" * 19}}})
        Member(api, pod).prepare(has_data=True)
    claims = [f"data-{pod}" for pod in PODS]

    # When the engine is deleted, then the state stays
    three.delete()
    eventually(lambda: not three.child("statefulset", NAMES.postgres), "the servers are gone")
    assert all(three.child("configmap", name) for name in STATE)

    # When its volumes are deleted, then it goes
    three.kubectl("delete", "pvc", *claims, "--wait=false")
    eventually(lambda: not any(three.child("configmap", name) for name in STATE), "the state is gone")


def test_services_select_servers_by_their_role(three: Engine) -> None:
    def addressed(service: str) -> set[str]:
        slices = three.cluster.list(
            "endpointslices", "-n", three.namespace, "-l", f"kubernetes.io/service-name={service}"
        )
        endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or []]
        return {endpoint["targetRef"]["name"] for endpoint in endpoints if endpoint["conditions"]["ready"]}

    # Given three servers of which the first one leads, then the Services address the primary, and the standbys
    eventually(lambda: addressed(NAMES.postgres) == {PODS[0]}, "clients reach the primary")
    eventually(lambda: addressed(NAMES.postgres_read_only) == set(PODS[1:]), "readers reach the standbys")

    # When another one leads, then clients reach that
    three.kubectl("label", "pod", PODS[0], f"{Label.ROLE}={MemberRole.REPLICA}", "--overwrite")
    three.kubectl("label", "pod", PODS[2], f"{Label.ROLE}={MemberRole.PRIMARY}", "--overwrite")
    eventually(lambda: addressed(NAMES.postgres) == {PODS[2]}, "clients reach the new primary")


def test_each_server_is_on_a_node_of_its_own_and_one_at_a_time_is_evicted(three: Engine) -> None:
    # Given three servers, then no node has two of them
    nodes = [(three.child("pod", pod) or {})["spec"]["nodeName"] for pod in PODS]
    assert len(set(nodes)) == len(PODS)

    # Then one of them may be evicted
    def allowed() -> int:
        budget = three.child("poddisruptionbudget", NAMES.database_disruption_budget) or {}
        return int(budget.get("status", {}).get("disruptionsAllowed", 0))

    eventually(lambda: allowed() == 1, "the budget allows one eviction")


def test_rights_that_somebody_widens_are_restored(three: Engine) -> None:
    # Given the Role of the database's pods
    before = (three.child("role", NAMES.database_account) or {})["rules"]

    # When somebody adds Secrets to it
    patch = '[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}}]'
    three.kubectl("patch", "role", NAMES.database_account, "--type=json", "-p", patch)

    # Then the operator takes it back
    eventually(
        lambda: (three.child("role", NAMES.database_account) or {})["rules"] == before, "the Role is as it was made"
    )


def test_account_of_another_pod_may_not_lead(engine: Engine, cluster: Cluster, tmp_path: Path) -> None:
    # Given an engine, and the account of its engine pods
    engine.apply()
    engine.wait_ready()
    api = account_of(cluster, engine.namespace, NAMES.engine_account, tmp_path)

    # Then it may not read who leads
    with pytest.raises(ClusterApiError, match="403"):
        api.get("configmaps", NAMES.database_leader)
