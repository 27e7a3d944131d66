"""Which build this is."""

from importlib.metadata import version

# A pre-release for trying things out is 1.2.0+broken to Python; image tags cannot hold a plus and say 1.2.0-broken.
VERSION = version("rtx-engine").replace("+", "-")
