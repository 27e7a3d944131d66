"""history: the cutovers that are over, and the revisions that are recorded."""

import argparse

from rtx_cli.commands import reading
from rtx_cli.decide.revisions import recorded
from rtx_cli.exits import ExitCode
from rtx_cli.kubectl import Kubectl, KubectlError
from rtx_cli.render import data
from rtx_cli.render.history import cutovers_table, revisions_table
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    try:
        revisions, unreadable = recorded(reading.revision_records(kubectl, engine.name)), ""
    except KubectlError as error:
        revisions, unreadable = [], str(error)
    if arguments.output in {"json", "yaml"}:
        states = [
            {"revision": one.revision, "version": one.version, "colour": one.colour, "made": one.made,
             "state": one.state(engine)}
            for one in revisions
        ]  # fmt: skip
        terminal.line(data.text({"cutovers": engine.history, "revisions": states}, arguments.output))
        return ExitCode.OK
    is_wide = arguments.output == "wide"
    terminal.lines(cutovers_table(engine, terminal.look, wide=is_wide))
    if revisions:
        terminal.lines(["", *revisions_table(engine, revisions, terminal.look)])
    if unreadable:
        terminal.note(f"revisions are not shown: {unreadable}")
    return ExitCode.OK
