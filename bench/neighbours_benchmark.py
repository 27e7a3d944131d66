"""Measures a switch alone and beside broken engines of the same operator; run by `bench/neighbours`."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Annotated, NoReturn

import typer
from rtx_lab.errors import LabError
from rtx_lab.progress import Reporter
from support.figures import Row, print_rows
from support.fleet import Engine, Fault, Fleet, FleetError, lose_images, running

READY_SECONDS = 120.0
UPGRADE_SECONDS = 180.0
BREAKING_SECONDS = 600.0  # until all broken engines are what they are
APPLIED_AT_ONCE = 4
VERSIONS = ("1.1.0", "1.0.0")  # in turn; the second is a return to pods that are kept


@dataclass(frozen=True)
class Upgrade:
    """One cutover of the healthy engine that succeeded."""

    switch_s: float  # from the entry of Switching to that of Monitoring
    seconds: float  # from the change of spec to Succeeded


def measure(
    dead: Annotated[int, typer.Option("--dead", min=0, max=500, help="Engines whose database does not answer.")] = 50,
    missing: Annotated[int, typer.Option("--missing", min=0, max=500, help="Engines whose image is missing.")] = 50,
    runs: Annotated[int, typer.Option("--runs", min=1, max=50, help="Upgrades alone, and as many beside.")] = 5,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure the switch of one healthy engine alone, and then beside broken ones.

    Takes about 10 minutes on two cores. Exits with 1 when it could not run, or when an upgrade was rolled back.
    """
    broken = [*[Fault.DEAD_DATABASE] * dead, *[Fault.MISSING_IMAGE] * missing]
    engines = [Engine(0), *(Engine(number, fault) for number, fault in enumerate(broken, start=1))]
    alone: list[Upgrade] = []
    beside: list[Upgrade] = []
    try:
        with running(engines, Reporter(), keep=keep) as fleet:
            operator = fleet.start_operator({})
            fleet.wait("the operator leads", 60, lambda: operator.leads)
            with fleet.reporter.step("installing the healthy engine"):
                _apply(fleet, engines[:1])
                fleet.wait("it is ready", READY_SECONDS, lambda: _is_ready(fleet, engines[0]))
            with fleet.reporter.step(f"{runs} upgrades alone"):
                alone += (_upgraded(fleet, engines[0], number) for number in range(runs))
            with fleet.reporter.step(f"adding {dead} engines with dead databases and {missing} with missing images"):
                _break(fleet, engines[1:])
            with fleet.reporter.step(f"{runs} upgrades beside them"):
                beside += (_upgraded(fleet, engines[0], number) for number in range(runs, 2 * runs))
    except (FleetError, LabError) as error:
        print_rows(_rows(alone, beside), as_json=as_json)
        _fail(str(error))
    print_rows(_rows(alone, beside), as_json=as_json)


def _apply(fleet: Fleet, engines: list[Engine]) -> None:
    with ThreadPoolExecutor(APPLIED_AT_ONCE) as pool:
        list(pool.map(lambda one: fleet.api.create(one.path.rpartition("/")[0], one.manifest()), engines))


def _is_ready(fleet: Fleet, engine: Engine) -> bool:
    return _condition(fleet, engine)["status"] == "True"


def _condition(fleet: Fleet, engine: Engine) -> dict[str, str]:
    """The engine's condition Ready."""
    conditions = fleet.statuses().get(engine.name, {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == "Ready"), {"status": "", "reason": ""})


def _break(fleet: Fleet, engines: list[Engine]) -> None:
    """Apply the broken engines, and wait until each is known to be broken."""
    reasons = {Fault.DEAD_DATABASE: "DatabaseUnreachable", Fault.MISSING_IMAGE: "ImageUnavailable"}
    _apply(fleet, engines)

    def all_known() -> bool:
        lose_images(fleet)
        statuses = fleet.statuses()
        return all(
            any(one["reason"] == reasons[engine.fault] for one in statuses[engine.name].get("conditions") or [])
            for engine in engines
        )

    fleet.wait("all broken engines are known to be broken", BREAKING_SECONDS, all_known)


def _upgraded(fleet: Fleet, engine: Engine, number: int) -> Upgrade:
    """Change the engine's version, and wait until the cutover is over. Raises FleetError when it does not succeed."""
    version = VERSIONS[number % len(VERSIONS)]
    begun = time.monotonic()
    fleet.api.merge_patch(engine.path, {"spec": {"version": version}})

    def ended() -> dict[str, object]:
        cutover = fleet.api.get(engine.path)["status"].get("cutover") or {}
        is_over = cutover.get("to", {}).get("version") == version and cutover["phase"] in {"Succeeded", "RolledBack"}
        return cutover if is_over else {}

    cutover = fleet.wait(f"the upgrade to {version} is over", UPGRADE_SECONDS, ended)
    if cutover["phase"] != "Succeeded":
        raise FleetError(f"the upgrade to {version} was rolled back: {cutover.get('message')}")
    return Upgrade(float(cutover["seconds"]["Switching"]), time.monotonic() - begun)  # type: ignore[index]


def _rows(alone: list[Upgrade], beside: list[Upgrade]) -> Iterator[Row]:
    for row_id, where, upgrades in (("alone", "alone", alone), ("beside", "beside the broken engines", beside)):
        switches = [one.switch_s for one in upgrades]
        if upgrades:
            typical, longest = round(median(switches), 3), round(max(switches), 3)
            yield Row(f"{row_id}_s", f"Switching {where}, median", typical, "s", len(upgrades))
            yield Row(f"{row_id}_max_s", f"Switching {where}, maximum", longest, "s", len(upgrades))
            whole = round(median(one.seconds for one in upgrades), 3)
            yield Row(f"{row_id}_upgrade_s", f"from the bump to Succeeded {where}, median", whole, "s", len(upgrades))
    if alone and beside:
        ratio = median(one.switch_s for one in beside) / median(one.switch_s for one in alone)
        yield Row("switch_ratio", "beside_s to alone_s; at most 1.5 is wanted", round(ratio, 3), "", len(beside))


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"bench/neighbours: {sentence}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    typer.run(measure)
