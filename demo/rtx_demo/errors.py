"""What the demo can fail with."""


class DemoError(Exception):
    """A sentence for the user: what is wrong, where, and what to do."""
