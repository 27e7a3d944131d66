"""version: of this plugin, and of the operator's pods if they may be seen."""

import argparse
from importlib.metadata import version

from rtx_operator.api.names import OPERATOR, Label

from rtx_cli.exits import ExitCode
from rtx_cli.kubectl import Kubectl, KubectlError
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:  # noqa: ARG001 - as all commands
    terminal.line(f"plugin    {version('rtx-cli')}")
    try:
        found = kubectl.get("deployments.apps", "--all-namespaces", f"--selector={Label.APP.value}={OPERATOR}")
    except KubectlError as error:
        terminal.note(f"the operator's release is not known: {error}")
        return ExitCode.OK
    for one in found["items"]:
        meta, image = one["metadata"], one["spec"]["template"]["spec"]["containers"][0]["image"]
        terminal.line(f"operator  {image} ({meta['namespace']}/{meta['name']})")
    if not found["items"]:
        terminal.note("no operator found in this cluster")
    return ExitCode.OK
