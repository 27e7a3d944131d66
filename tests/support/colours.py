"""Tests move the fence, redirect the live Service and cut off a colour, without the operator."""

import json
import time

from rtx_demo import database
from rtx_demo.engine import Engine
from upgrades import COLOUR_LABEL, Upgrades, other_colour

FENCE_ROUND_TRIPS = 2
FENCE_MOVE_INTERVAL_SECONDS = 2
# No NOTIFY: the move looks like one whose notification got lost.
MOVE_FENCE_SQL = """
UPDATE rtx_operator.execution_fence SET epoch = epoch + 1, executors = ARRAY[:'colour'], cutover = 'drill';
"""
DISABLE_FENCE_SQL = """
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


def move_fence_back_and_forth(upgrades: Upgrades) -> str:
    """Move the fence to the other colour and back, twice. Returns the colour that executes before and after."""
    (colour,) = upgrades.fence()["executors"]
    for executor in FENCE_ROUND_TRIPS * (other_colour(colour), colour):
        time.sleep(FENCE_MOVE_INTERVAL_SECONDS)
        database.psql(upgrades.engine, MOVE_FENCE_SQL, colour=executor)
    return str(colour)


def select_colour(engine: Engine, colour: str) -> None:
    """Make the live Service select a colour."""
    patch = json.dumps({"spec": {"selector": {COLOUR_LABEL: colour}}})
    where = ("--namespace", engine.namespace, "--type=merge", f"--patch={patch}")
    engine.kubectl.run("patch", "service", f"{engine.name}-engine", *where)


def remove_peer_service(engine: Engine, colour: str) -> None:
    """Restart a colour's pods with a configuration that does not name the other colour's Service."""
    kubectl, where = engine.kubectl, ("--namespace", engine.namespace)
    deployment = kubectl.get("deployment", f"{engine.name}-engine-{colour}", engine.namespace) or {}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    config = kubectl.get("configmap", container["envFrom"][0]["configMapRef"]["name"], engine.namespace) or {}
    data = {key: value for key, value in config["data"].items() if key != "PEER_SERVICE"}
    metadata = {"name": "without-peer-service", "namespace": engine.namespace}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    change = {"name": container["name"], "envFrom": [{"configMapRef": {"name": metadata["name"]}}]}
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [change]}}}})
    name = f"deployment/{engine.name}-engine-{colour}"
    kubectl.run("patch", name, *where, "--type=strategic", f"--patch={patch}")
    kubectl.run("rollout", "status", name, *where, "--timeout=120s", deadline=130)
