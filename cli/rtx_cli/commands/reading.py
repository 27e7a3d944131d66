"""Reads what commands have in common: the engine, and what belongs to it."""

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Label

from rtx_cli.decide.children import KINDS, Children
from rtx_cli.decide.engine import Engine, Object
from rtx_cli.exits import CliError
from rtx_cli.kubectl import ENGINES, Kubectl


def manifest(kubectl: Kubectl, name: str | None) -> Object:
    """The TradingEngine of that name, else the only one of the namespace. Raises CliError."""
    if name:
        return kubectl.get(ENGINES, name)
    found = kubectl.get(ENGINES)["items"]
    if len(found) == 1:
        only: Object = found[0]
        return only
    where = f"namespace {kubectl.namespace}" if kubectl.namespace else "the context's namespace"
    if not found:
        raise CliError(f"{where} has no TradingEngine; choose another with -n, or see all with `status -A`")
    names = ", ".join(one["metadata"]["name"] for one in found)
    raise CliError(f"{where} has {len(found)} TradingEngines: name one of {names}")


def engine(kubectl: Kubectl, name: str | None) -> tuple[Engine, Kubectl]:
    """The engine, and kubectl in its namespace. Raises CliError."""
    found = Engine.of(manifest(kubectl, name))
    return found, kubectl.within(found.namespace)


def children(kubectl: Kubectl, name: str) -> Children:
    """What belongs to the engine, of the kinds that may be listed. Raises KubectlError."""
    found = kubectl.list(KINDS, f"--selector={Label.ENGINE.value}={name}")
    return Children(found.items, found.unreadable)


def revision_records(kubectl: Kubectl, name: str) -> list[Object]:
    """The ControllerRevisions of the engine's colours. Raises KubectlError."""
    selector = f"{Label.ENGINE.value}={name},{Label.COMPONENT.value}={Component.ENGINE.value}"
    items: list[Object] = kubectl.get("controllerrevisions.apps", f"--selector={selector}")["items"]
    return items
