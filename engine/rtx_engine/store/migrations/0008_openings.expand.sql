-- The upgrade that made the weeks may have ended before this version, and be resumed when they have passed: the release
-- before makes none ahead. Those that are there are looked up only.
-- rtx: allows call: it builds partitions beside the table
SELECT make_journal_weeks(8);

-- The openings of the accounts that are older than the journal: what their balance was before their fills and entries. It
-- has entries of theirs if its reverse half has run since. One statement, so one snapshot: whoever moves the balance enters
-- that in the same transaction. It holds no lock that an order waits for; accounts that are opened meanwhile enter their
-- own.
INSERT INTO journal (account_id, sequence, at, amount, balance, kind, reason, author)
SELECT id, 0, now(), opening, opening, 1, 'opened before there was a journal', 'migration'
FROM (
    SELECT id, 100 * (balance - coalesce(realised, 0)) - coalesce(entered, 0) AS opening FROM accounts
    LEFT JOIN (SELECT account_id, sum(realised) AS realised FROM orders GROUP BY account_id) AS filled
        ON filled.account_id = accounts.id
    LEFT JOIN (SELECT account_id, sum(amount) AS entered FROM journal GROUP BY account_id) AS moved
        ON moved.account_id = accounts.id
) AS computed
WHERE NOT EXISTS (SELECT FROM journal WHERE journal.account_id = computed.id AND journal.sequence = 0);
