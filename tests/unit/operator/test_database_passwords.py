"""Passwords with three database servers: those of the one that leads count."""

from cutover_walks import reconciled
from database_walks import FIRST, NAMES, SECOND, condition, lead, three_servers
from maintenance_walks import taken_away, until
from password_walks import NEW, fingerprint
from rtx_operator.api.enums import ConditionType, MaintenancePhase, Reason
from simulated_patroni import SECRET


def test_changed_password_reaches_the_engine_after_the_switchover_whichever_server_leads() -> None:
    # Given three servers, of which the first does not lead
    world = three_servers()
    lead(world, SECOND)
    before = fingerprint(world)

    # When the password is changed
    world.credentials = NEW
    assert until(world, MaintenancePhase.RESTARTING, 60)
    seen = []
    for _ in range(100):
        reconciled(world, 1)
        seen.append((world.leader, fingerprint(world) == before))
        if world.stored["maintenance"]["phase"] == MaintenancePhase.SUCCEEDED:
            break

    # Then engine pods keep the old one for as long as the server that has it leads
    assert all(is_old for leader, is_old in seen if leader == SECOND)
    reconciled(world, 10)
    assert fingerprint(world) != before
    assert world.lost == 0


def test_start_of_each_server_is_noted_and_moves_with_the_lead() -> None:
    world = three_servers()
    reconciled(world, 3)
    uids = {name: world.pods[name]["metadata"]["uid"] for name in NAMES}
    made = world.stored["database"]
    assert made["started"]["pod"] == uids[FIRST]
    assert {one["pod"] for one in made["standbys"]} == {uids[name] for name in NAMES if name != FIRST}

    lead(world, SECOND)

    assert world.stored["database"]["started"]["pod"] == uids[SECOND]


def test_lost_password_of_replication_is_not_generated_anew_while_standbys_need_it() -> None:
    # Given three servers, and a Secret that was made again by hand, without it
    world = three_servers()
    away, secret, key = taken_away(world), world.children[SECRET], "DB_REPLICATION_PASSWORD"
    world._store(SECRET, {**secret, "data": {name: value for name, value in secret["data"].items() if name != key}})

    # When it is reconciled
    reconciled(world, 40)

    # Then no standby is replaced by one that the primary does not let in, and the key is named
    assert key not in world.children[SECRET]["data"]
    assert (away, world.stored["databaseCluster"]["inSync"]) == ([], "3/3")
    stalled = condition(world, ConditionType.STALLED)
    assert stalled
    assert (stalled["status"], stalled["reason"]) == ("True", Reason.CREDENTIALS_LOST)
    assert key in stalled["message"]
