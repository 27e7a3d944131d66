"""Selects the provider for this machine."""

from rtx_lab.instance import Instance
from rtx_lab.kind import Kind
from rtx_lab.native import Native
from rtx_lab.provider import Provider, ProviderName, docker_is_running


def choose(instance: Instance, name: ProviderName | None = None) -> Provider:
    """The provider `name`; by default native if its cluster is up or Docker does not run, else kind."""
    native = Native(instance)
    if name is None:
        name = ProviderName.NATIVE if native.is_up() or not docker_is_running() else ProviderName.KIND
    return native if name is ProviderName.NATIVE else Kind(instance.name)
