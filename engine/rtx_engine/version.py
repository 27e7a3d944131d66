"""The version of this build."""

from importlib.metadata import version

# Image tags cannot contain a plus: Python's 1.2.0+broken is 1.2.0-broken there.
VERSION = version("rtx-engine").replace("+", "-")
