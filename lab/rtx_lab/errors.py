"""What the lab says when it cannot go on."""


class LabError(Exception):
    """One sentence for the user: what is wrong, where, and what to do. Printed without a traceback."""
