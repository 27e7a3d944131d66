"""Whether the rows of a database add up: nothing is made or lost between a fill, its position and its balance."""

from decimal import Decimal

import asyncpg
from engine_postgres import TestDatabase

_UNBALANCED = """
SELECT a.id FROM accounts a
LEFT JOIN LATERAL (SELECT coalesce(sum(realised), 0) AS realised FROM fills WHERE account_id = a.id) f ON true
LEFT JOIN LATERAL (SELECT count(*) AS orders, max(sequence) AS newest FROM orders WHERE account_id = a.id) o ON true
LEFT JOIN LATERAL (SELECT count(*) AS events, max(sequence) AS newest FROM account_events WHERE account_id = a.id) e
    ON true
WHERE a.balance <> $1 + f.realised
    OR (o.orders, coalesce(o.newest, 0), e.events, coalesce(e.newest, 0))
        <> (a.event_sequence, a.event_sequence, a.event_sequence, a.event_sequence)
UNION ALL
SELECT account_id FROM (
    SELECT account_id, symbol, quantity FROM positions
    UNION ALL SELECT account_id, symbol, -quantity FROM fills
) AS both_sides GROUP BY account_id, symbol HAVING sum(quantity) <> 0
"""


async def unbalanced(database: TestDatabase, opened_with: Decimal) -> list[asyncpg.Record]:
    """Accounts, all opened with this balance, whose balance, event numbers or positions are not what was filled."""
    return await database.execute(_UNBALANCED, opened_with)
