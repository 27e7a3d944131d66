"""What may break while a version becomes the next one, and the outcome that docs/faults.md defines for it.

One engine and one load go through all faults that must fail no request; what may fail some has a load of its own.
"""

import itertools
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cutover_support import (
    COLOUR,
    NEW,
    ROLLOUT,
    TWO,
    Load,
    Upgrades,
    arm,
    assert_kept,
    disarm,
    leader_pod,
    load,
    patched,
    upgradable,
)
from database_support import frozen_executor, held_fence, session
from node_support import connections, daemon_frozen, daemon_stopped, frozen, send
from rtx_demo import database, installation
from rtx_demo.engine import Engine
from rtx_demo.kubectl import KubectlError, Object
from rtx_demo.sample import Sample
from rtx_demo.traffic import Watch
from rtx_demo.waiting import eventually
from rtx_traffic.verdict import Verdict

OUTAGE = 60.0  # seconds without an API server
WATCHED_LONGER: Object = {"monitor": {"duration": "10s"}}
_sizes = itertools.count(513)


@pytest.fixture(scope="module")
def upgrades(sample: Sample) -> Iterator[Upgrades]:
    with upgradable(sample) as engine:
        yield Upgrades(engine)
        disarm(engine.kubectl)


@pytest.fixture(scope="module")
def loaded(upgrades: Upgrades) -> Iterator[Load]:
    """One load under all of it."""
    with load(upgrades.engine) as loaded:
        yield loaded


def other_pods() -> Object:
    """A wish that changes nothing but the pods' shape: a little more memory each time."""
    return {"resources": {"limits": {"memory": f"{next(_sizes)}Mi"}}}


@contextmanager
def nothing_fails(loaded: Load) -> Iterator[None]:
    """No request fails inside the block."""
    before = loaded.failed()
    yield
    assert loaded.failed() == before


def assert_whole(upgrades: Upgrades) -> Object:
    """The engine is at rest, with one colour that serves and executes; how it ended."""
    end = upgrades.end_state()
    assert end["selects the active colour"], end
    assert end["executors are the active colour"], end
    return end


def assert_succeeded(upgrades: Upgrades, cutover: Object) -> None:
    assert cutover["phase"] == "Succeeded", cutover
    assert_whole(upgrades)
    assert upgrades.cutover()["id"] == cutover["id"]


def assert_rejected(upgrades: Upgrades, reason: str, **wish: object) -> Object:
    """Ask for what cannot be: it goes back for that reason, nothing has moved, and the old wish is put back."""
    engine, selected, epoch = upgrades.engine, upgrades.selected(), upgrades.fence()["epoch"]
    before = engine.read()["spec"]
    cutover = upgrades.upgrade(**wish)
    assert (cutover["phase"], cutover["reason"]) == ("RolledBack", reason), cutover
    end = assert_whole(upgrades)
    assert (end["version"], upgrades.selected()) == (before["version"], selected)
    assert upgrades.fence()["epoch"] == epoch
    patched(engine, {"spec": {field: before[field] for field in wish}})
    upgrades.settle()
    return cutover


# --- migrations ------------------------------------------------------------------------------------------------------

SCHEMA = """
SELECT json_build_object(
    'columns', (SELECT json_agg(concat(table_name, '.', column_name, ' ', data_type) ORDER BY table_name, column_name)
        FROM information_schema.columns WHERE table_schema = 'public'),
    'indexes', (SELECT json_agg(indexdef ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'),
    'applied', (SELECT json_agg(concat(version, half) ORDER BY version, half) FROM schema_migrations));
"""
IN_THE_WAY = "CREATE VIEW orders_by_symbol AS SELECT 1 AS one;"  # the name of an index that version 1.1.0 makes


def schema(engine: Engine) -> Object:
    found: Object = json.loads(database.psql(engine, SCHEMA))
    return found


def test_a_migration_that_fails_half_way_leaves_the_schema_as_it_was(upgrades: Upgrades, loaded: Load) -> None:
    # given that the second of two migrations cannot be carried out, because its index's name is taken
    database.psql(upgrades.engine, IN_THE_WAY)
    before = schema(upgrades.engine)

    # when the version is bumped, then it goes back before anything has moved, and says why
    with nothing_fails(loaded):
        cutover = assert_rejected(upgrades, "MigrationFailed", version=NEW)
    assert "orders_by_symbol" in cutover["message"]

    # and the first migration is taken back, too
    assert schema(upgrades.engine) == before
    database.psql(upgrades.engine, "DROP VIEW orders_by_symbol;")


def test_a_migration_that_waits_for_a_lock_holds_up_no_order(upgrades: Upgrades, loaded: Load) -> None:
    # given a transaction that has written orders and does not end
    with nothing_fails(loaded):
        with session(upgrades.engine, "LOCK TABLE orders IN ROW EXCLUSIVE MODE;"):
            # when the version is bumped, then its migration tries again and again, and orders flow in between
            upgrades.begin(NEW)
            migrating = upgrades.wait_for("Migrating")
            eventually(lambda: migration_waits(upgrades), "a migration that waits for a lock")
            orders = count_of_orders(upgrades.engine)
            eventually(lambda: count_of_orders(upgrades.engine) > orders + 100, "orders that flow")
            assert upgrades.cutover()["phase"] == "Migrating"

        # and when the transaction ends, it is carried out
        cutover = upgrades.wait_until_over()
    assert cutover["id"] == migrating["id"]
    assert_succeeded(upgrades, cutover)
    assert upgrades.status()["active"]["version"] == NEW


def migration_waits(upgrades: Upgrades) -> bool:
    namespace, cutover = upgrades.engine.namespace, upgrades.cutover()["id"]
    jobs = upgrades.kubectl.list("jobs", namespace, f"rtx-trading.com/cutover={cutover}")
    return any("waits for a lock" in logs_of_job(upgrades, job["metadata"]["name"]) for job in jobs)


def logs_of_job(upgrades: Upgrades, name: str) -> str:
    try:
        return upgrades.kubectl.run("logs", f"job/{name}", "--namespace", upgrades.engine.namespace)
    except KubectlError:  # its container does not run yet
        return ""


def count_of_orders(engine: Engine) -> int:
    return int(database.psql(engine, "SELECT count(*) FROM orders;"))


# --- something that holds on, or is away, while the traffic moves ----------------------------------------------------


def test_a_frozen_holder_of_the_fence_is_ended(upgrades: Upgrades, loaded: Load) -> None:
    # given a session of the colour that executes, which holds the fence and does nothing more
    with nothing_fails(loaded), frozen_executor(upgrades.engine, upgrades.selected()) as lives:
        # when another version is asked for, then the move of the fence ends that session, and the cutover succeeds
        assert lives()
        assert_succeeded(upgrades, upgrades.upgrade(**other_pods()))
        assert not lives()


def test_redis_that_hangs_holds_up_nothing(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover whose new pods start, when Redis hangs from there on (and may be started anew: that is a Redis
    # that is gone)
    with nothing_fails(loaded):
        upgrades.begin(**other_pods())
        upgrades.wait_for("Provisioning")
        with frozen(pod_of(upgrades.engine, "cache"), "redis-server"):
            cutover = upgrades.wait_until_over()
        # then it succeeds all the same; that no event was missed is for the verdict to say
        assert_succeeded(upgrades, cutover)


@pytest.mark.parametrize("phase", ["Provisioning", "Switching", "Monitoring"])
def test_the_api_server_is_away_for_a_minute(upgrades: Upgrades, loaded: Load, phase: str) -> None:
    # given a cutover that has come to a phase; in Switching to where the fence has moved and the live Service has not
    if phase == "Switching":
        arm(upgrades.kubectl, leader_pod(upgrades.kubectl), "after Switching/MoveFence")
    before, failed = upgrades.selected(), loaded.failed()
    upgrades.begin(**other_pods(), rollout=WATCHED_LONGER)
    upgrades.wait_for(phase)
    if phase == "Switching":
        eventually(lambda: upgrades.fence()["executors"] != [before], "a fence that has moved")
        assert upgrades.selected() == before

    # when the API server answers nobody for a minute, and then does again
    with api_server_away():
        time.sleep(OUTAGE)

    # then the cutover goes on where it was and succeeds, and all the while no request has failed
    assert_succeeded(upgrades, upgrades.wait_until_over())
    upgrades.patch(rollout=ROLLOUT)
    look_anew(loaded)
    assert loaded.failed() == failed


@contextmanager
def api_server_away() -> Iterator[None]:
    """The API server answers nobody inside the block.

    The controller manager ends meanwhile, as one does that cannot renew its Lease: the next one takes no node for lost
    just because it could not report. The lab's has no Lease, as it is the only one.
    """
    with daemon_stopped("kube-controller-manager"):
        with daemon_frozen("kube-apiserver"):
            yield
        time.sleep(5)  # until nodes have reported again


def look_anew(loaded: Load) -> None:
    """The streams of the traffic pods' lines may have broken."""
    loaded.watch.close()
    loaded.watch = Watch(loaded.traffic)
    loaded.watch.wait_until_sending()


# --- versions that do not come up ------------------------------------------------------------------------------------


def test_an_image_that_is_missing_is_given_up(upgrades: Upgrades, loaded: Load) -> None:
    with nothing_fails(loaded):
        cutover = assert_rejected(upgrades, "ImageUnavailable", image={"repository": "localhost/no-such-engine"})
    assert "localhost/no-such-engine" in cutover["message"]


def test_pods_that_keep_ending_are_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # given pods that get less memory than they need to start
    too_little = {"requests": {"memory": "16Mi"}, "limits": {"memory": "40Mi"}}
    with nothing_fails(loaded):
        assert_rejected(upgrades, "CrashLooping", resources=too_little)


def test_pods_that_fit_nowhere_are_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # given pods that no node can take, so that they never get ready
    too_much = {"requests": {"cpu": "1000"}, "limits": {"cpu": "1000"}}
    with nothing_fails(loaded):
        assert_rejected(upgrades, "Unschedulable", resources=too_much)


NO_MORE_CONNECTIONS = """
SELECT format('ALTER ROLE rtx_engine CONNECTION LIMIT %s', count(*)) FROM pg_stat_activity WHERE usename = 'rtx_engine'
\\gexec
"""


def test_pods_that_never_get_ready_are_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # given new pods that get no connection to the database, which nothing about a pod gives as a cause
    database.psql(upgrades.engine, NO_MORE_CONNECTIONS)
    try:
        # then they get the time that the spec gives them
        with nothing_fails(loaded):
            assert_rejected(upgrades, "OutOfTime", rollout={"readyTimeout": "30s"}, **other_pods())
    finally:
        database.psql(upgrades.engine, "ALTER ROLE rtx_engine CONNECTION LIMIT -1;")


# --- other wishes, another size, another leader ----------------------------------------------------------------------


def test_a_third_wish_after_the_switch_goes_back_first(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover that has switched and is being watched, when the spec asks for something else again
    with nothing_fails(loaded):
        colour = upgrades.selected()
        upgrades.begin(**other_pods(), rollout=WATCHED_LONGER)
        first = upgrades.wait_for("Monitoring")
        upgrades.patch(**other_pods(), rollout=ROLLOUT)

        # then the colour before it serves again first, and then comes the third
        upgrades.last = first["id"]
        second = upgrades.wait_for("Provisioning", "Testing")
        assert upgrades.selected() == colour == second["from"]["colour"]
        assert_succeeded(upgrades, upgrades.wait_until_over())
    past = next(item for item in upgrades.status()["history"] if item["id"] == first["id"])
    assert (past["result"], past["reason"]) == ("RolledBack", "Superseded")


def test_the_new_colour_is_as_large_as_the_old_one_has_become(upgrades: Upgrades, loaded: Load) -> None:
    with nothing_fails(loaded):
        # given a cutover whose new pods start, when somebody asks for more pods
        upgrades.begin(**other_pods())
        upgrades.wait_for("Provisioning")
        upgrades.patch(scaling={"minReplicas": 3, "maxReplicas": 3})

        # then there are as many of the new colour before it takes over
        cutover = upgrades.wait_for("Switching", "Monitoring", "Succeeded")
        assert len(upgrades.pods(cutover["to"]["colour"])) == 3
        assert_succeeded(upgrades, upgrades.wait_until_over())
        upgrades.patch(scaling=TWO)
        upgrades.settle()


def test_the_operator_is_rolled_in_the_middle(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover whose new pods start, when the operator's pods are replaced
    with nothing_fails(loaded):
        upgrades.begin(**other_pods())
        upgrades.wait_for("Provisioning")
        where = (f"deployment/{installation.DEPLOYMENT}", "--namespace", installation.NAMESPACE)
        upgrades.kubectl.run("rollout", "restart", *where)

        # then it succeeds all the same
        assert_succeeded(upgrades, upgrades.wait_until_over())
        installation.wait_until_running(upgrades.kubectl)


def test_an_engine_pod_is_deleted(upgrades: Upgrades, loaded: Load) -> None:
    # given no cutover, when one of the pods that serve is deleted, then another takes its place and nothing fails
    with nothing_fails(loaded):
        upgrades.kubectl.delete(
            "pod", busiest_pod(upgrades)["metadata"]["name"], upgrades.engine.namespace, deadline=120
        )
        upgrades.settle()


def test_over_all_of_it_nothing_was_lost(loaded: Load) -> None:
    # given the one load that went through all faults above, when its ledger is compared with the database
    # then no request failed, no order was lost or doubled, no event missed, and only executors executed
    assert_kept(loaded.verdict())


# --- what may fail some requests -------------------------------------------------------------------------------------


DEAD_SOCKET = ("refused", "reset", "closed before the answer")


def test_a_killed_engine_pod_fails_only_what_goes_to_it(upgrades: Upgrades) -> None:
    # given a load, when one of the pods that serve is killed without a word, and its container is started anew
    with load(upgrades.engine) as loaded:
        pod = busiest_pod(upgrades)
        send(pod, "rtx-engine", signal.SIGKILL)
        eventually(lambda: has_restarted(upgrades, pod), "a container that was started anew and is ready")
        time.sleep(5)  # until the Service leads to it again everywhere
        failed = loaded.failed()
        time.sleep(5)

        # then nothing fails any more
        assert loaded.failed() == failed
        verdict = loaded.verdict()

    # and what failed was on its connections or found none, and nothing acknowledged is lost
    print(verdict.failures, verdict.findings)
    assert_nothing_lost(verdict)
    assert [reason for reason in verdict.failures if not reason.startswith(DEAD_SOCKET)] == []
    assert 0 < verdict.failed_requests < verdict.requests / 2


def test_postgresql_goes_away_in_the_switch(upgrades: Upgrades) -> None:
    # given a cutover that waits for the fence in Switching, when PostgreSQL is killed and comes back
    with load(upgrades.engine) as loaded:
        with held_fence(upgrades.engine):
            upgrades.begin(**other_pods())
            upgrades.wait_for("Switching")
            replace_database(upgrades.engine)
        upgrades.wait_until_over()
        assert_whole(upgrades)
        verdict = loaded.verdict()

    # then the cutover is over, the one who serves is the one who executes, and nothing acknowledged is lost
    print(verdict.failures, verdict.findings)
    assert_nothing_lost(verdict)
    told = ("status 5xx: 503", "unsent: every keep-alive connection")
    assert [reason for reason in verdict.failures if not reason.startswith(told)] == []


def assert_nothing_lost(verdict: Verdict) -> None:
    assert (verdict.orders_lost, verdict.orders_doubled, verdict.fenced_executions) == (0, 0, 0), verdict.findings
    assert verdict.websocket_gaps == verdict.websocket_late, verdict.findings


def replace_database(engine: Engine) -> None:
    """Kill PostgreSQL's pod without a word, and wait until its successor is ready."""
    kubectl, name = engine.kubectl, f"{engine.name}-postgres"
    where = ("--namespace", engine.namespace)
    kubectl.run("delete", "pod", f"{name}-0", *where, "--grace-period=0", "--force", "--wait")
    eventually(lambda: kubectl.get("pod", f"{name}-0", engine.namespace), "PostgreSQL's next pod")
    kubectl.run("wait", "--for=condition=Ready", f"pod/{name}-0", *where, "--timeout=120s", deadline=130)


def pod_of(engine: Engine, component: str) -> Object:
    """The one pod of a component."""
    selector = f"app.kubernetes.io/component={component}"
    found: Object = engine.kubectl.list("pods", engine.namespace, selector)[0]
    return found


def busiest_pod(upgrades: Upgrades) -> Object:
    """The pod that serves most clients: one address is served by one pod, so that there may be pods without any."""
    pods = {connections(pod, "rtx-engine", 7999): pod for pod in upgrades.pods(upgrades.selected())}
    assert max(pods) > 0
    return pods[max(pods)]


def has_restarted(upgrades: Upgrades, pod: Object) -> bool:
    found = upgrades.kubectl.get("pod", pod["metadata"]["name"], upgrades.engine.namespace) or {}
    (container,) = found["status"]["containerStatuses"]
    return bool(container["restartCount"] and container["ready"])


# --- what the fence and the forwarding are for -----------------------------------------------------------------------

# Nobody is told: a notification that got lost.
MOVE = """
UPDATE rtx_operator.execution_fence SET epoch = epoch + 1, executors = ARRAY[:'colour'], cutover = 'drill';
"""
FENCE_OFF = """
DO $$
DECLARE fenced regclass;
BEGIN
    FOR fenced IN SELECT tgrelid FROM pg_trigger WHERE tgname = 'execution_fence' LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER execution_fence', fenced);
    END LOOP;
END $$;
CREATE OR REPLACE FUNCTION rtx_operator.assert_executor() RETURNS bigint LANGUAGE sql
AS $$ SELECT current_setting('rtx.epoch')::bigint $$;
"""


@pytest.fixture(scope="module")
def unattended(upgrades: Upgrades) -> Upgrades:
    """The engine with both colours warm, and with an operator that leaves it alone."""
    upgrades.settle()
    assert upgrades.status().get("previous"), "the colour before is not kept"
    upgrades.patch(paused=True)
    upgrades.settle()
    return upgrades


def test_whoever_executes_and_whoever_is_asked_may_differ(unattended: Upgrades) -> None:
    # given a load, when the fence moves to and fro, unannounced, and then the live Service leads to the wrong colour
    with load(unattended.engine) as loaded:
        executes = move_to_and_fro(unattended)
        lead_to(unattended, other(executes))
        time.sleep(5)
        lead_to(unattended, executes)
        verdict = loaded.verdict()

    # then nothing fails, and no colour executes out of its turn
    assert_kept(verdict)


def test_without_forwarding_requests_fail(unattended: Upgrades) -> None:
    # given a colour that does not execute and knows of no other
    executes = unattended.selected()
    knows_no_other(unattended.engine, other(executes))

    # when the live Service leads to it under load, then requests fail
    with load(unattended.engine) as loaded:
        lead_to(unattended, other(executes))
        time.sleep(5)
        lead_to(unattended, executes)
        verdict = loaded.verdict()
    assert verdict.failed_requests > 0
    assert (verdict.orders_lost, verdict.orders_doubled, verdict.fenced_executions) == (0, 0, 0), verdict.findings


def test_without_the_fence_a_colour_executes_out_of_its_turn(unattended: Upgrades) -> None:
    # given a database that refuses nobody, when the fence moves to and fro under load
    database.psql(unattended.engine, FENCE_OFF)
    with load(unattended.engine) as loaded:
        move_to_and_fro(unattended)
        verdict = loaded.verdict()

    # then the comparison of commit times finds those who executed when they should not have
    assert verdict.fenced_executions > 0


def test_an_engine_that_is_deleted_in_the_middle_is_gone(unattended: Upgrades) -> None:
    # given an engine that the operator may look after again, and a cutover whose new pods start
    unattended.patch(paused=False)
    unattended.settle()
    unattended.begin(**other_pods())
    unattended.wait_for("Provisioning")

    # when the engine is deleted, then it and all its pods are gone, and nothing hangs
    kubectl, engine = unattended.kubectl, unattended.engine
    kubectl.delete("tradingengine", engine.name, engine.namespace)
    eventually(lambda: not kubectl.list("pods,jobs,services", engine.namespace), "an empty namespace", deadline=120)


def other(colour: str) -> str:
    return "green" if colour == "blue" else "blue"


def move_to_and_fro(upgrades: Upgrades) -> str:
    """Move the fence four times, behind the operator's back; the colour that executes in the end and did before."""
    (colour,) = upgrades.fence()["executors"]
    for to in 2 * (other(colour), colour):
        time.sleep(2)
        database.psql(upgrades.engine, MOVE, colour=to)
    return str(colour)


def lead_to(upgrades: Upgrades, colour: str) -> None:
    """Have the live Service select a colour."""
    name, namespace = f"{upgrades.engine.name}-engine", upgrades.engine.namespace
    patch = json.dumps({"spec": {"selector": {COLOUR: colour}}})
    upgrades.kubectl.run("patch", "service", name, "--namespace", namespace, "--type=merge", f"--patch={patch}")


def knows_no_other(engine: Engine, colour: str) -> None:
    """Start a colour's pods anew with a configuration that says nothing of the other colour's Service."""
    kubectl, where = engine.kubectl, ("--namespace", engine.namespace)
    deployment = kubectl.get("deployment", f"{engine.name}-engine-{colour}", engine.namespace) or {}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    config = kubectl.get("configmap", container["envFrom"][0]["configMapRef"]["name"], engine.namespace) or {}
    data = {key: value for key, value in config["data"].items() if key != "PEER_SERVICE"}
    alone = {"name": "knows-no-other", "namespace": engine.namespace}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": alone, "data": data})
    change = {"name": container["name"], "envFrom": [{"configMapRef": {"name": alone["name"]}}]}
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [change]}}}})
    name = f"deployment/{engine.name}-engine-{colour}"
    kubectl.run("patch", name, *where, "--type=strategic", f"--patch={patch}")
    kubectl.run("rollout", "status", name, *where, "--timeout=120s", deadline=130)
