"""What stands before a line of a log."""

from rtx_operator.api.enums import Colour

from rtx_cli.decide.children import Pod
from rtx_cli.render.text import Look

_BLUE, _GREEN, _OTHER = "34", "32", "36"


def prefix(pod: Pod, look: Look) -> str:
    """The pod's name; on a terminal in the colour of its colour."""
    code = {Colour.BLUE.value: _BLUE, Colour.GREEN.value: _GREEN}.get(pod.colour, _OTHER)
    return f"\x1b[{code}m{pod.name}\x1b[0m" if look.colours else pod.name
