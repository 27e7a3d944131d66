"""migrations: what is applied to the database, as an engine pod sees it, and the Jobs that ran migrations."""

import argparse
import json
from typing import Any

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Label

from rtx_cli.commands import reading
from rtx_cli.decide.children import Pod
from rtx_cli.decide.engine import Engine
from rtx_cli.decide.migrations import MigrationJob, jobs_of
from rtx_cli.exits import ExitCode
from rtx_cli.kubectl import Kubectl, KubectlError
from rtx_cli.render import data
from rtx_cli.render.migrations import jobs_table, migrations_table
from rtx_cli.terminal import Terminal

_ASK = ("rtx-engine", "migrate", "status", "--json")


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    jobs = _jobs(kubectl, engine)
    applied, why = _applied(kubectl, engine)
    if arguments.output in {"json", "yaml"}:
        terminal.line(data.text({"migrations": applied, "jobs": jobs, "unknown": why}, arguments.output))
    else:
        lines = migrations_table(applied, terminal.look) if applied is not None else []
        terminal.lines([*lines, *([""] if lines else []), *jobs_table(jobs, terminal.look)])
        if why:
            terminal.note(f"what is applied is not known: {why}")
    return ExitCode.OK if applied is not None else ExitCode.ERROR


def _jobs(kubectl: Kubectl, engine: Engine) -> list[MigrationJob]:
    selector = f"{Label.ENGINE.value}={engine.name},{Label.COMPONENT.value}={Component.MIGRATION.value}"
    return jobs_of(kubectl.get("jobs.batch", f"--selector={selector}")["items"])


def _applied(kubectl: Kubectl, engine: Engine) -> tuple[list[dict[str, Any]] | None, str]:
    """What a ready pod of the active colour finds applied; else None, and why it is not known."""
    colour = engine.active.colour if engine.active else ""
    labels = {
        Label.ENGINE.value: engine.name,
        Label.COMPONENT.value: Component.ENGINE.value,
        Label.COLOUR.value: colour,
    }
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = [Pod.of(one) for one in kubectl.get("pods", f"--selector={selector}")["items"]] if colour else []
    ready = next((pod for pod in pods if pod.is_ready), None)
    if ready is None:
        return None, f"{engine.name} has no ready pod to ask"
    try:
        found: list[dict[str, Any]] = json.loads(kubectl.run("exec", ready.name, "--", *_ASK))
    except KubectlError as error:
        return None, str(error)
    except ValueError:
        return None, f"pod {ready.name} answered with no JSON"
    return found, ""
