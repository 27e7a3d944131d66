"""Whether a standby has what the database shows, where commits wait for one (`durability: Quorum`).

A commit whose wait for its standby was cancelled is visible all the same, and a failover may lose it. A commit after it
that a standby confirms is later in the log, so the standby has both.
"""

from typing import Any

CONFIRM_DEADLINE_SECONDS = 1.5  # of one try; a standby that follows confirms within milliseconds
_CANCELLED = "canceling wait for synchronous replication"
# Writes nothing where commits wait for nobody.
_COMMIT = """
SELECT CASE WHEN current_setting('synchronous_standby_names') <> '' THEN pg_logical_emit_message(true, 'rtx', '') END
"""


class UnconfirmedError(ConnectionError):
    """No standby has confirmed what was committed; the message is one sentence."""

    def __init__(self) -> None:
        super().__init__("no standby has confirmed what the database shows; check that its standbys run and follow")


class Confirmation:
    """Of what is committed on one connection."""

    def __init__(self, connection: Any) -> None:
        self._was_cancelled = False
        self._connection = connection
        connection.add_log_listener(self._on_message)

    def check(self) -> None:
        """Raise UnconfirmedError if a commit since the beginning has stopped waiting for its standby."""
        if self._was_cancelled:
            raise UnconfirmedError

    def end(self) -> None:
        """Stop listening: a pool refuses a connection with a listener."""
        self._connection.remove_log_listener(self._on_message)

    def _on_message(self, _: Any, message: Any) -> None:
        self._was_cancelled |= message.message.startswith(_CANCELLED)


async def write(connection: Any) -> None:
    """Let the present transaction's commit wait for a standby, whatever else it does. Raises asyncpg's errors."""
    await connection.execute(_COMMIT)


async def confirm(connection: Any) -> None:
    """Return when a standby has all that is visible now. Raises UnconfirmedError, and asyncpg's errors."""
    confirmation = Confirmation(connection)
    try:
        await connection.execute(_COMMIT, timeout=CONFIRM_DEADLINE_SECONDS)
        confirmation.check()
    except TimeoutError as error:
        raise UnconfirmedError from error
    finally:
        confirmation.end()
