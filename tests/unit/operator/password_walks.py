"""Passwords in the small world, for tests of which of them database and engine have."""

from cutover_world import CREDENTIALS, World
from maintenance_walks import DATABASE
from rtx_operator.desired.pods import credentials_of
from rtx_operator.observation import Object

BROKEN = {"image": "example.com/postgres:nope"}  # an image of the database that no node can pull
CRASHING = {"image": "example.com/postgres:crash"}


def changed(**passwords: str) -> Object:
    """The user's Secret with other values, in base64."""
    return {"data": {**CREDENTIALS["data"], **passwords}}


NEW = changed(DB_PASSWORD="bmV3")


def fingerprint(world: World, colour: str = "blue") -> str:
    """The fingerprint of the passwords with which pods of the colour start."""
    return credentials_of(world.children["Deployment", f"rtx-engine-{colour}"]["spec"]["template"])


def database_takes_passwords_at_start(world: World) -> list[str]:
    """The DB_PASSWORD that the database has: roles.sql sets that of the Secret at each start of its pod."""
    has = [str((world.credentials or {})["data"]["DB_PASSWORD"])]
    judge, tick = world.judge_server_pod, world.tick
    state = {"away": False}

    def taken(pod: Object) -> None:
        if pod["metadata"]["name"] == DATABASE:
            state["away"] = True
        judge(pod)

    def ticked(seconds: float = 1) -> None:
        tick(seconds)
        pod = world.pods.get(DATABASE)
        if state["away"] and pod and "deletionTimestamp" not in pod["metadata"]:
            image = pod["spec"]["containers"][0]["image"]
            if "crash" not in image:
                state["away"] = False
                has.append(str((world.credentials or {})["data"]["DB_PASSWORD"]))

    world.judge_server_pod = taken  # type: ignore[method-assign]
    world.tick = ticked  # type: ignore[method-assign]
    return has
