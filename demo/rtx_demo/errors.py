"""Errors of the demo."""


class DemoError(Exception):
    """The demo cannot continue. The message is one sentence: what is wrong, the object, what to do."""
