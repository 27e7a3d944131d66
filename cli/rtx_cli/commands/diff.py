"""diff: what the API server would make of a new spec or version, and what the operator would do then."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rtx_operator.api.names import GROUP, KIND, Label

from rtx_cli.commands import reading
from rtx_cli.decide.refusals import Refusal
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import ENGINES, Kubectl, KubectlError, Object
from rtx_cli.render import data
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    from rtx_cli.decide.difference import difference, installation  # noqa: PLC0415 - with the operator's models
    from rtx_cli.render.difference import difference_lines  # noqa: PLC0415 - likewise

    name, version = _named(arguments)
    if arguments.filename:
        before, after, kubectl = _of_file(arguments, kubectl, name)
    else:
        before = reading.manifest(kubectl, name)
        kubectl = kubectl.within(before["metadata"]["namespace"])
        change = {"spec": {"version": version}}
        after = kubectl.patch(before["metadata"]["name"], change, "--dry-run=server")
    found = installation(after) if before is None else difference(before, after, _children(kubectl, before))
    if arguments.output in {"json", "yaml"}:
        terminal.line(data.text(found, arguments.output))
    else:
        terminal.lines(difference_lines(found, terminal.look, wide=arguments.output == "wide"))
    differs = bool(found.changes) or before is None
    return ExitCode.FOUND if arguments.exit_code and differs else ExitCode.OK


def _named(arguments: argparse.Namespace) -> tuple[str | None, str]:
    """The engine's name, if given, and the version; none with -f. Raises CliError."""
    words = arguments.words
    if arguments.filename and len(words) <= 1:
        return (words[0] if words else None), ""
    if not arguments.filename and 1 <= len(words) <= 2:
        return (words[0] if len(words) == 2 else None), words[-1]
    raise CliError("give a VERSION, or -f FILE: `diff [NAME] VERSION` or `diff [NAME] -f FILE`", ExitCode.USAGE)


def _of_file(
    arguments: argparse.Namespace, kubectl: Kubectl, name: str | None
) -> tuple[Object | None, Object, Kubectl]:
    """The engine as it is stored (None: not yet) and as it would be, and kubectl in its namespace."""
    manifest = _manifest(arguments.filename, name)
    meta = manifest["metadata"]
    kubectl = kubectl.within(meta.get("namespace") or kubectl.namespace)
    try:
        before: Object | None = kubectl.get(ENGINES, meta["name"])
    except KubectlError as error:
        if error.refusal is not Refusal.NOT_FOUND:
            raise
        before = None
    side = ("--server-side",) if arguments.server_side else ()
    return before, kubectl.apply(manifest, *side, "--dry-run=server"), kubectl


def _manifest(filename: str, name: str | None) -> Object:
    """The TradingEngine of a file. Raises CliError."""
    import yaml  # noqa: PLC0415 - only where a file is read

    try:
        text = sys.stdin.read() if filename == "-" else Path(filename).read_text(encoding="utf-8")
        documents: list[Any] = [one for one in yaml.safe_load_all(text) if isinstance(one, dict)]
    except OSError as error:
        raise CliError(f"cannot read {filename}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CliError(f"{filename} is no YAML: {' '.join(str(error).split())}") from error
    engines = [one for one in documents if one.get("kind") == KIND and str(one.get("apiVersion", "")).startswith(GROUP)]
    chosen = [one for one in engines if name in {None, (one.get("metadata") or {}).get("name")}]
    if len(chosen) != 1 or not (chosen[0].get("metadata") or {}).get("name"):
        what = f"{len(chosen)} TradingEngines" + (f" named {name}" if name else "")
        raise CliError(f"{filename} has {what}, and diff compares one: give NAME, or another file")
    found: Object = chosen[0]
    return found


def _children(kubectl: Kubectl, manifest: Object) -> dict[tuple[str, str], Object]:
    selector = f"--selector={Label.ENGINE.value}={manifest['metadata']['name']}"
    found = kubectl.list(("controllerrevisions.apps", "deployments.apps"), selector)
    return {(one["kind"], one["metadata"]["name"]): one for one in found.items}
