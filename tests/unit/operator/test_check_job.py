"""The Job that tries a server's image and place."""

from typing import Any

from desired_objects import SMALL, build_input
from rtx_operator.api.enums import Component
from rtx_operator.desired.check import check_job
from rtx_operator.desired.database.server import database_configuration, database_stateful_set
from rtx_operator.desired.server_revision import ServerRevision
from rtx_operator.observation import Object

LOCAL = {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "node-1"}]}]}}}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def revision(**database: Any) -> ServerRevision:
    given = build_input({**SMALL, "database": database})
    return ServerRevision.rendered(database_stateful_set(given), database_configuration(given), "")


def pod(new: ServerRevision, running: ServerRevision, volume: Object | None = None) -> Object:
    job = check_job(build_input(), Component.DATABASE, new, running, volume or {})
    found: Object = job["spec"]["template"]["spec"]
    return found


def terms(**scheduling: Any) -> Any:
    affinity = pod(revision(scheduling=scheduling), revision(), LOCAL)["affinity"]["nodeAffinity"]
    return affinity[REQUIRED]["nodeSelectorTerms"]


def test_check_runs_the_new_image_where_the_new_pod_may_run() -> None:
    # Given a pod with another image, node selector and toleration
    scheduling = {"nodeSelector": {"pool": "data"}, "tolerations": [{"key": "data", "operator": "Exists"}]}
    new = revision(image="example.com/postgres:18", scheduling=scheduling)

    # When it is tried
    tried = pod(new, revision())

    # Then with these, without a volume, and without a network that its labels would open
    assert tried["containers"][0]["image"] == "example.com/postgres:18"
    assert (tried["nodeSelector"], tried["tolerations"]) == (scheduling["nodeSelector"], scheduling["tolerations"])
    assert "volumes" not in tried


def test_check_runs_only_where_the_volume_can_be() -> None:
    assert terms() == [{"matchExpressions": [{"key": "node-1"}]}]


def test_each_term_of_the_pod_is_joined_with_each_of_the_volume() -> None:
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": k}]} for k in "ab"]}}}

    assert terms(affinity=affinity) == [
        {"matchExpressions": [{"key": "a"}, {"key": "node-1"}]},
        {"matchExpressions": [{"key": "b"}, {"key": "node-1"}]},
    ]


def test_affinity_to_pods_is_left_out_because_the_running_pod_would_be_in_the_way() -> None:
    repelled = {"podAntiAffinity": {REQUIRED: [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}]}}

    assert "affinity" not in pod(revision(scheduling={"affinity": repelled}), revision())


def test_check_requests_what_the_new_pod_requests_more() -> None:
    new = revision(resources={"requests": {"cpu": "1500m", "memory": "3Gi"}})

    assert pod(new, revision())["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": str(2**30)}
    assert pod(revision(), new)["containers"][0]["resources"]["requests"] == {"cpu": "10m", "memory": "32Mi"}


def test_check_passes_pod_security_restricted() -> None:
    tried = pod(revision(), revision())

    assert tried["automountServiceAccountToken"] is False
    assert tried["securityContext"]["runAsNonRoot"] is True
    assert tried["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_check_of_other_content_is_another_job() -> None:
    jobs = [
        check_job(build_input(), Component.DATABASE, revision(image=f"example.com/postgres:{tag}"), revision(), {})
        for tag in ("a", "b")
    ]

    assert jobs[0]["metadata"]["name"] != jobs[1]["metadata"]["name"]
    assert "rtx-trading.com/engine" in jobs[0]["metadata"]["labels"]
