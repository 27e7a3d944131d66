"""New pods that crash, cannot be scheduled or never get ready: the cutover rolls back before the switch."""

import pytest
from loads import Load, assert_kept_across_tests, no_request_fails
from rtx_demo import database
from rtx_demo.kubectl import KubectlError, Object
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import Reason
from upgrades import Upgrades, assert_rejected, new_revision, other_colour

pytestmark = pytest.mark.usefixtures("module_load")


def test_pods_that_keep_ending_are_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # Given pods with less memory than they need to start.
    too_little = {"requests": {"memory": "16Mi"}, "limits": {"memory": "40Mi"}}

    # When the spec asks for them.
    # Then the cutover rolls back before the switch, because they keep crashing.
    with no_request_fails(loaded):
        assert_rejected(upgrades, Reason.CRASH_LOOPING, resources=too_little)


def test_pods_that_fit_nowhere_are_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # Given pods that request more CPU than any node has.
    too_much = {"requests": {"cpu": "1000"}, "limits": {"cpu": "1000"}}

    # When the spec asks for them.
    # Then the cutover rolls back before the switch, because no node can run them.
    with no_request_fails(loaded):
        assert_rejected(upgrades, Reason.UNSCHEDULABLE, resources=too_much)


# Refuses logins of one colour's sessions, whatever their role: an event trigger on login (PostgreSQL 17).
REFUSE_LOGIN_SQL = """
CREATE FUNCTION drill_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('application_name') = '%s' THEN RAISE EXCEPTION 'drill: no login for this colour'; END IF;
END $$;
CREATE EVENT TRIGGER drill_login ON login EXECUTE FUNCTION drill_login();
"""
ALLOW_LOGIN_SQL = "DROP EVENT TRIGGER drill_login; DROP FUNCTION drill_login();"


def test_pods_that_never_get_ready_are_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # Given a database that refuses the idle colour's logins, which no pod's status reports.
    idle = other_colour(upgrades.selected_colour())
    database.psql(upgrades.engine, REFUSE_LOGIN_SQL % idle)
    try:
        # When a cutover starts pods of that colour.
        # Then it rolls back before the switch, when spec.rollout.readyTimeout is over.
        with no_request_fails(loaded):
            assert_rejected(
                upgrades, Reason.DEADLINE_EXCEEDED, rollout={"readyTimeout": "30s"}, **new_revision(),
                during=lambda: eventually(lambda: is_refused(upgrades, idle), "a new pod whose login is refused"),
            )  # fmt: skip
    finally:
        database.psql(upgrades.engine, ALLOW_LOGIN_SQL)


def is_refused(upgrades: Upgrades, colour: str) -> bool:
    """Whether a pod of that colour has logged that the database refused its login."""
    return any("drill: no login" in pod_log(upgrades, pod) for pod in upgrades.pods(colour))


def pod_log(upgrades: Upgrades, pod: Object) -> str:
    try:
        return upgrades.kubectl.run("logs", pod["metadata"]["name"], "--namespace", upgrades.engine.namespace)
    except KubectlError:  # its container has not started yet
        return ""


def test_no_promise_is_broken_over_all_faults(upgrades: Upgrades, loaded: Load) -> None:
    # Given the load that ran through the faults above.
    # When its ledger is compared with the database.
    # Then no request failed, no order was lost or doubled, no event was missed, and only executors executed.
    assert_kept_across_tests(loaded)
