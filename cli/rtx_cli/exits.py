"""How a command ends: exit codes, the error with one sentence, and what `wait` waits for."""

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """How a command ended. docs/kubectl-plugin.md lists them for scripts."""

    OK = 0  # done, or as asked for
    ERROR = 1  # it could not be done; the sentence on standard error says why
    USAGE = 2  # the command line is wrong; nothing was sent
    ROLLED_BACK = 3  # the operator went back to the version before, or had rejected this one before
    FAILED = 4  # it ended otherwise than asked for: superseded, deleted, failed, a test did not pass
    TIMED_OUT = 5  # --timeout was over; what was begun goes on
    STALLED = 6  # a person must act first: Stalled is True, or the engine is paused
    FOUND = 7  # doctor found a problem; diff --exit-code found a change
    INTERRUPTED = 130  # Ctrl-C; what was begun goes on


class Goal(StrEnum):
    """What `wait` waits for."""

    READY = "ready"  # clients can place orders
    UP_TO_DATE = "up-to-date"  # what runs is what spec asks for
    AT_REST = "at-rest"  # both, and no operation is under way


class CliError(Exception):
    """Ends the command. The message is one sentence: what is wrong, where, and what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.code = code
