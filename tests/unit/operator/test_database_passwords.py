"""Passwords with three database servers: those of the one that leads count."""

from cutover_walks import reconciled
from database_walks import FIRST, NAMES, SECOND, lead, three_servers
from maintenance_walks import until
from password_walks import NEW, fingerprint
from rtx_operator.api.enums import MaintenancePhase


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
