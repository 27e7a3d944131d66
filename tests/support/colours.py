"""Who executes and who is asked, changed behind the operator's back."""

import json
import time

from rtx_demo import database
from rtx_demo.engine import Engine
from upgrades import COLOUR, Upgrades, other_colour

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


def move_to_and_fro(upgrades: Upgrades) -> str:
    """Move the fence four times; the colour that executes in the end and did before."""
    (colour,) = upgrades.fence()["executors"]
    for to in 2 * (other_colour(colour), colour):
        time.sleep(2)
        database.psql(upgrades.engine, MOVE, colour=to)
    return str(colour)


def lead_to(engine: Engine, colour: str) -> None:
    """Have the live Service select a colour."""
    patch = json.dumps({"spec": {"selector": {COLOUR: colour}}})
    where = ("--namespace", engine.namespace, "--type=merge", f"--patch={patch}")
    engine.kubectl.run("patch", "service", f"{engine.name}-engine", *where)


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
