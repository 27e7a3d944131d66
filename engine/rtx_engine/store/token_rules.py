"""Which tokens count now: polled from the database, so that all pods of both colours agree within a second."""

import asyncio
import datetime as dt
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.domain.access import Revocation, TokenRules
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.read_admission import Shared
from rtx_engine.store.reads import Reads

POLL_INTERVAL_SECONDS = 1.0
# A revocation is remembered for as long as a token can be out that it ended: those of the release before live 12 hours.
REMEMBERED = dt.timedelta(hours=13)
# Asked for again with each poll: a revocation becomes visible with its commit, some time after its own time, and the
# clock of another server may be behind.
OVERLAP = dt.timedelta(minutes=1)

# The engine is the fence's owner, namespace/name/uid, without the last: a resource that is made again is the same one.
_READ = """
SELECT split_part(fence.owner, '/', 1) || '/' || split_part(fence.owner, '/', 2) AS engine,
    extract(epoch FROM (SELECT since FROM features WHERE name = 'tokens_name_their_engine'))::float8 AS named_since,
    clock_timestamp() AS now
FROM rtx_operator.execution_fence AS fence
"""
_REVOKED = """
SELECT account_id, generation, extract(epoch FROM revoked_at)::float8 AS since
FROM users JOIN user_accounts ON user_accounts.user_id = users.id WHERE revoked_at > $1
"""

log = structlog.get_logger(__name__)


class TokenRulesWatch:
    """Keeps the rules up to date. While the database does not answer, the last ones hold."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._rules: TokenRules | None = None
        self._known = asyncio.Event()
        self._read_up_to: dt.datetime | None = None  # by the database's clock

    @property
    def known(self) -> bool:
        return self._rules is not None

    def rules(self) -> TokenRules:
        """The rules as last read. Raises UnavailableError before that."""
        if self._rules is None:
            raise UnavailableError("this server does not know yet which tokens count; try again")
        return self._rules

    async def wait(self) -> None:
        """Wait until the rules are known, however long that takes."""
        await self._known.wait()

    async def refresh(self) -> None:
        """Read the rules now. Raises UnavailableError and asyncpg's errors."""
        await self._reads.run(self._read, Shared.POD)

    async def _read(self, connection: "asyncpg.Connection") -> None:
        row = await connection.fetchrow(_READ)
        if row is None:
            return  # no fence: the pod is not ready, or takes back that it is (fence.py)
        since = row["now"] - REMEMBERED if self._read_up_to is None else self._read_up_to - OVERLAP
        revoked = await connection.fetch(_REVOKED, since)
        oldest = (row["now"] - REMEMBERED).timestamp()
        known = {} if self._rules is None else self._rules.revoked
        remembered = {account: found for account, found in known.items() if found.since > oldest}
        found = {row["account_id"]: Revocation(row["generation"], row["since"]) for row in revoked}
        rules = TokenRules(row["engine"], row["named_since"], remembered | found)
        if rules != self._rules:  # tokens that were checked by the same object are not checked again (api/tokens.py)
            self._rules = rules
            self._known.set()
        self._read_up_to = row["now"]

    async def run(self) -> None:
        """Poll until cancelled; survives outages of the database, and a database that is not migrated yet."""
        while True:
            with suppress(UnavailableError, asyncpg.PostgresError):
                await self.refresh()
            await asyncio.sleep(POLL_INTERVAL_SECONDS)
