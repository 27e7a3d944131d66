"""Errors of the lab."""


class LabError(Exception):
    """The lab cannot continue. The message is one sentence: what is wrong, the object, what to do."""
