"""Whatever befalls three database servers, in any order: nothing that was acknowledged is lost."""

from typing import Any

from cutover_walks import reconciled
from database_walks import NAMES, three_servers, until_in_sync
from hypothesis import example, given, settings
from hypothesis import strategies as st
from maintenance_walks import MORE
from rtx_operator.api.enums import Durability
from test_database_maintenance import replaced

SPECS: list[dict[str, Any]] = [{"instances": size, **more} for size in (1, 3) for more in ({}, MORE)]
EVENTS = st.one_of(
    st.tuples(st.just("spec"), st.sampled_from(SPECS)),
    st.tuples(st.sampled_from(["dead", "behind", "well"]), st.sampled_from(NAMES)),
)


@given(st.lists(st.tuples(EVENTS, st.integers(1, 12)), max_size=6))
@example([(("spec", SPECS[-1]), 8), (("dead", NAMES[1]), 1)])  # a candidate that is away for a moment
@settings(max_examples=25, deadline=None)
def test_nothing_acknowledged_is_lost(events: list[tuple[tuple[str, Any], int]]) -> None:
    # Given three servers with durability Quorum
    world = three_servers()
    away = replaced(world, of_several=True)

    # When servers fail and spec changes
    for (what, which), seconds in events:
        if what == "spec":
            world.set_spec(database={**which, "durability": Durability.QUORUM.value})
        elif what == "well":
            world.faults -= {f"{fault}:{which}" for fault in ("dead", "behind")}
        else:
            world.faults.add(f"{what}:{which}")
        reconciled(world, seconds)

    # Then all servers are as spec asks once the faults are over, and the operator never ended the last one of several
    world.faults.clear()
    size = world.spec["database"]["instances"]
    assert until_in_sync(world, f"{size}/{size}", 200), world.stored["conditions"]
    assert world.lost == 0
    assert all(others for _, others in away)
