"""New pods that keep ending, fit nowhere or never get ready: the cutover goes back before anything has moved."""

import pytest
from loads import Load, assert_kept_over_all, nothing_fails
from rtx_demo import database
from rtx_demo.kubectl import KubectlError, Object
from rtx_demo.waiting import eventually
from upgrades import Upgrades, assert_rejected, other_colour, other_pods

pytestmark = pytest.mark.usefixtures("load_of_the_module")


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


# A login is refused to the sessions of one colour, whatever role they have (PostgreSQL 17, event triggers on login).
NO_LOGIN = """
CREATE FUNCTION drill_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('application_name') = '%s' THEN RAISE EXCEPTION 'drill: no login for this colour'; END IF;
END $$;
CREATE EVENT TRIGGER drill_login ON login EXECUTE FUNCTION drill_login();
"""
LOGIN = "DROP EVENT TRIGGER drill_login; DROP FUNCTION drill_login();"


def test_pods_that_never_get_ready_are_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # given new pods that get no connection to the database, which nothing about a pod gives as a cause
    idle = other_colour(upgrades.selected())
    database.psql(upgrades.engine, NO_LOGIN % idle)
    try:
        # when they are asked for, then they get the time that the spec gives them
        with nothing_fails(loaded):
            assert_rejected(
                upgrades, "DeadlineExceeded", rollout={"readyTimeout": "30s"}, **other_pods(),
                meanwhile=lambda: eventually(lambda: is_refused(upgrades, idle), "a new pod that gets no connection"),
            )  # fmt: skip
    finally:
        database.psql(upgrades.engine, LOGIN)


def is_refused(upgrades: Upgrades, colour: str) -> bool:
    """Whether a pod of that colour has said that the database refused it."""
    return any("drill: no login" in log_of(upgrades, pod) for pod in upgrades.pods(colour))


def log_of(upgrades: Upgrades, pod: Object) -> str:
    try:
        return upgrades.kubectl.run("logs", pod["metadata"]["name"], "--namespace", upgrades.engine.namespace)
    except KubectlError:  # its container does not run yet
        return ""


def test_over_all_of_it_nothing_was_lost(upgrades: Upgrades, loaded: Load) -> None:
    # given the one load that went through the faults above, when its ledger is compared with the database
    # then no request failed, no order was lost or doubled, no event missed, and only executors executed
    assert_kept_over_all(loaded)
