"""Whether the rows of a database add up: nothing is made or lost between a fill, a position, an entry and a balance."""

import asyncpg
from engine_postgres import TestDatabase

# Accounts whose balance is not the sum of what their journal and their orders moved, or whose numbers have a gap.
_ACCOUNTS = """
SELECT a.id, 'balance or numbers' AS wrong FROM accounts a
LEFT JOIN LATERAL (SELECT coalesce(sum(realised), 0) AS realised FROM fills WHERE account_id = a.id) f ON true
LEFT JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS moved FROM ledger WHERE account_id = a.id) l ON true
LEFT JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS entered FROM journal WHERE account_id = a.id) j ON true
LEFT JOIN LATERAL (
    SELECT count(DISTINCT sequence) AS numbers, count(*) AS rows, coalesce(max(sequence), 0) AS newest FROM (
        SELECT sequence FROM orders WHERE account_id = a.id
        UNION ALL SELECT sequence FROM journal WHERE account_id = a.id AND kind <> 1
    ) AS numbered
) n ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS events, coalesce(max(sequence), 0) AS newest FROM account_events WHERE account_id = a.id
) e ON true
WHERE 100 * a.balance <> l.moved OR 100 * a.balance <> j.entered + 100 * f.realised
    OR (n.numbers, n.rows, n.newest, e.events, e.newest)
        <> (a.event_sequence, a.event_sequence, a.event_sequence, a.event_sequence, a.event_sequence)
    OR (SELECT count(*) FROM journal WHERE account_id = a.id AND (sequence, kind) = (0, 1)) <> 1
"""
# Entries that name another balance than all that came before them leaves.
_ENTRIES = """
SELECT account_id, 'balance after ' || sequence FROM journal
WHERE balance <> (
    SELECT sum(amount) FROM ledger
    WHERE ledger.account_id = journal.account_id AND ledger.sequence <= journal.sequence
)
"""
# Positions that are not the sum of the fills, or that say to be newer than their account.
_POSITIONS = """
SELECT account_id, 'position of ' || symbol FROM (
    SELECT account_id, symbol, quantity FROM positions
    UNION ALL SELECT account_id, symbol, -quantity FROM fills
) AS both_sides GROUP BY account_id, symbol HAVING sum(quantity) <> 0
UNION ALL
SELECT account_id, 'number of ' || symbol FROM positions JOIN accounts ON accounts.id = account_id
WHERE sequence > event_sequence
"""


async def unbalanced(database: TestDatabase) -> list[asyncpg.Record]:
    """The accounts that do not add up, and where."""
    return await database.execute(f"{_ACCOUNTS} UNION ALL {_ENTRIES} UNION ALL {_POSITIONS}")
