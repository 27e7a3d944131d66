"""Has the database send its log up to now to the repository: what was committed until now can be restored then."""

from rtx_operator.cluster.postgres.session import Address, connected

# A commit of its own: a moment can only be restored when a later commit is in the log.
_COMMIT = "SELECT pg_logical_emit_message(true, 'rtx', 'restore')"
_SWITCH = "SELECT pg_switch_wal()"


async def switch_log(address: Address, password: str) -> None:
    """Raises FenceUnreachableError, also where the role may not switch: a database of an earlier release."""
    async with connected(address, password) as connection:
        await connection.execute(_COMMIT)
        await connection.execute(_SWITCH)
