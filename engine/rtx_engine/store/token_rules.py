"""Which tokens count now: polled from the database, so that all pods of both colours agree within a second."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.domain.access import Revocation, TokenRules
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.read_admission import Shared
from rtx_engine.store.reads import Reads

POLL_INTERVAL_SECONDS = 1.0
# A revocation counts for as long as a token can be out that it ended: those of the release before live 12 hours.
REVOCATION_LIFETIME = dt.timedelta(hours=13)

# The engine is the fence's owner, namespace/name/uid, without the last: a resource that is made again is the same one.
# `revoked` differs whenever the revocations do. All of them are looked at each time, however old: one that waited for
# its standby becomes visible long after its own time, and one that a failover or a restore took away has to go.
_READ = """
SELECT split_part(fence.owner, '/', 1) || '/' || split_part(fence.owner, '/', 2) AS engine,
    extract(epoch FROM (SELECT since FROM features WHERE name = 'tokens_name_their_engine'))::float8 AS named_since,
    (SELECT sum(hashtextextended(format('%s %s %s', id, generation, revoked_at), 0))
        FROM users WHERE revoked_at > now() - $1::interval) AS revoked
FROM rtx_operator.execution_fence AS fence
"""
_REVOKED = """
SELECT account_id, generation, extract(epoch FROM revoked_at)::float8 AS since
FROM users JOIN user_accounts ON user_accounts.user_id = users.id
WHERE revoked_at > now() - $1::interval
"""

log = structlog.get_logger(__name__)


class TokenRulesWatch:
    """Keeps the rules up to date. While the database does not answer, the last ones hold."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._rules: TokenRules | None = None
        self._known = asyncio.Event()
        self._revoked: object = None  # the database's digest of the revocations in the rules

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
        row = await connection.fetchrow(_READ, REVOCATION_LIFETIME)
        if row is None:
            return  # no fence: the pod is not ready, or takes back that it is (fence.py)
        revoked = await self._revocations(connection, row["revoked"])
        rules = TokenRules(row["engine"], row["named_since"], revoked)
        if rules != self._rules:  # tokens that were checked by the same object are not checked again (api/tokens.py)
            self._rules = rules
            self._known.set()
        self._revoked = row["revoked"]

    async def _revocations(self, connection: "asyncpg.Connection", digest: object) -> Mapping[int, Revocation]:
        """Those that the database has. They are read only if its digest of them has changed: there may be thousands."""
        if self._rules is not None and digest == self._revoked:
            return self._rules.revoked
        rows = await connection.fetch(_REVOKED, REVOCATION_LIFETIME)
        return {row["account_id"]: Revocation(row["generation"], row["since"]) for row in rows}

    async def run(self) -> None:
        """Poll until cancelled; survives outages of the database, and a database that is not migrated yet."""
        while True:
            with suppress(UnavailableError, asyncpg.PostgresError):
                await self.refresh()
            await asyncio.sleep(POLL_INTERVAL_SECONDS)
