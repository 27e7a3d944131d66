"""An edit of database or cache under load: what takes their pods away, and what never does."""

import pytest
from loads import DATABASE_OUTAGE_ERRORS, Load, assert_nothing_lost, no_request_fails
from rtx_demo import installation
from rtx_demo.kubectl import Object
from rtx_operator.api.enums import ConditionStatus, ConditionType, CutoverPhase, MaintenancePhase, Reason
from system_fixtures import StartLoad
from upgrades import Upgrades, assert_succeeded

SERVERS = ("postgres", "redis")
MAINTENANCE_DEADLINE_SECONDS = 120.0
TYPO = "localhost/rtx-postgres:nope"
NO_SUCH_NODE = {"nodeSelector": {"kubernetes.io/hostname": "no-such-node"}}

pytestmark = pytest.mark.usefixtures("module_engine")


def server_pods(upgrades: Upgrades) -> dict[str, str]:
    """The uids of the pods of database and cache: another pod of the same name has another one."""
    engine = upgrades.engine
    pods = {name: engine.kubectl.get("pod", f"{engine.name}-{name}-0", engine.namespace) for name in SERVERS}
    return {name: pod["metadata"]["uid"] if pod else "" for name, pod in pods.items()}


def wait_for_maintenance(upgrades: Upgrades, *phases: MaintenancePhase, after: str = "") -> Object:
    """The maintenance with another id than `after`, once it is in one of these phases."""

    def reached(status: Object) -> bool:
        maintenance = status.get("maintenance") or {}
        return maintenance.get("id", "") not in {"", after} and maintenance.get("phase") in phases

    what = f"a maintenance in phase {' or '.join(phases)}"
    found: Object = upgrades.wait(reached, what, deadline=MAINTENANCE_DEADLINE_SECONDS)["maintenance"]
    return found


def last_maintenance(upgrades: Upgrades) -> str:
    found: str = (upgrades.status().get("maintenance") or {}).get("id", "")
    return found


@pytest.mark.parametrize(
    ("edit", "reason"),
    [({"image": TYPO}, Reason.IMAGE_UNAVAILABLE), ({"scheduling": NO_SUCH_NODE}, Reason.UNSCHEDULABLE)],
    ids=["an image that does not exist", "a node where the volume is not"],
)
def test_edit_of_the_database_that_cannot_work_takes_nothing_away(
    upgrades: Upgrades, loaded: Load, edit: Object, reason: Reason
) -> None:
    before, database = server_pods(upgrades), upgrades.engine.read()["spec"]["database"]
    with no_request_fails(loaded):
        # When the database's spec asks for what cannot work.
        last = last_maintenance(upgrades)
        upgrades.patch(database=edit)
        failed = wait_for_maintenance(upgrades, MaintenancePhase.FAILED, after=last)

        # Then the pods are the same, the engine is ready, and Stalled names the cause.
        assert failed["reason"] == reason, failed
        stalled = upgrades.engine.wait_for(ConditionType.STALLED, reason)
        assert stalled.status == ConditionStatus.TRUE
        assert server_pods(upgrades) == before
        upgrades.engine.wait_until_ready()

        # And when the spec is reverted, then it is as before without anybody's help.
        upgrades.reset_spec({"database": database})
        upgrades.wait_until_reconciled()
    assert server_pods(upgrades) == before


def test_more_memory_for_the_database_is_maintenance_and_trading_goes_on(
    upgrades: Upgrades, start_load: StartLoad
) -> None:
    before, database = server_pods(upgrades), upgrades.engine.read()["spec"]["database"]
    fence = upgrades.fence()
    with start_load(upgrades.engine) as loaded:
        # When the database is to have more memory.
        last = last_maintenance(upgrades)
        upgrades.patch(database={"resources": {"requests": {"memory": "300Mi"}}})
        over = wait_for_maintenance(upgrades, MaintenancePhase.SUCCEEDED, MaintenancePhase.FAILED, after=last)
        upgrades.engine.wait_until_ready()
        verdict = loaded.verdict()

    # Then its pod was replaced once, in a maintenance; the cache's was not, and the fence is the same.
    assert over["phase"] == MaintenancePhase.SUCCEEDED, over
    after = server_pods(upgrades)
    assert (after["postgres"] != before["postgres"], after["redis"] == before["redis"]) == (True, True)
    assert upgrades.fence() == fence

    # And requests failed only as in an outage of the database, and nothing acknowledged is lost.
    assert [reason for reason in verdict.failures if not reason.startswith(DATABASE_OUTAGE_ERRORS)] == []
    assert_nothing_lost(verdict)
    upgrades.reset_spec({"database": database})
    wait_for_maintenance(upgrades, MaintenancePhase.SUCCEEDED, after=over["id"])


def test_toleration_of_the_engine_restarts_no_database(upgrades: Upgrades, loaded: Load) -> None:
    before = server_pods(upgrades)
    with no_request_fails(loaded):
        upgrades.begin(scheduling={"tolerations": [{"key": "spot", "operator": "Exists"}]})
        assert_succeeded(upgrades, upgrades.wait_until_over())
        upgrades.begin(scheduling=None)
        assert upgrades.wait_until_over()["phase"] == CutoverPhase.SUCCEEDED
    assert server_pods(upgrades) == before


def test_new_default_images_of_the_operator_restart_nothing(upgrades: Upgrades, loaded: Load) -> None:
    before, kubectl = server_pods(upgrades), upgrades.kubectl
    where = ("--namespace", "rtx-system", "deployment/rtx-operator")
    [container] = (kubectl.get("deployment", "rtx-operator", "rtx-system") or {})["spec"]["template"]["spec"][
        "containers"
    ]
    image = next(one["value"] for one in container["env"] if one["name"] == "POSTGRES_IMAGE")
    with no_request_fails(loaded):
        try:
            # When a release of the operator has other default images.
            kubectl.run("set", "env", *where, f"POSTGRES_IMAGE={TYPO}")
            kubectl.run("rollout", "status", *where, "--timeout=120s", deadline=130)
            installation.wait_until_running(kubectl)
            upgrades.wait_until_reconciled()

            # Then UpToDate says so, and the pods are the same.
            condition = upgrades.engine.wait_for(ConditionType.UP_TO_DATE, Reason.REFRESH_AVAILABLE)
            assert condition.status == ConditionStatus.TRUE
            assert server_pods(upgrades) == before
        finally:
            kubectl.run("set", "env", *where, f"POSTGRES_IMAGE={image}")
            kubectl.run("rollout", "status", *where, "--timeout=120s", deadline=130)
            installation.wait_until_running(kubectl)
        upgrades.wait_until_reconciled()
    assert server_pods(upgrades) == before
