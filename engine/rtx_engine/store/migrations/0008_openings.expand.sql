-- The openings of the accounts that are older than the journal: what their balance was before their fills. One statement,
-- so one snapshot: a fill moves the balance and enters what it realised in one transaction. It holds no lock that an order
-- waits for; accounts that are opened meanwhile enter their own.
INSERT INTO journal (account_id, sequence, at, amount, balance, kind, reason, author)
SELECT id, 0, now(), 100 * (balance - coalesce(realised, 0)), 100 * (balance - coalesce(realised, 0)), 1,
    'opened before there was a journal', 'migration'
FROM accounts
LEFT JOIN (SELECT account_id, sum(realised) AS realised FROM orders GROUP BY account_id) AS filled
    ON filled.account_id = accounts.id
WHERE NOT EXISTS (SELECT FROM journal WHERE journal.account_id = accounts.id AND journal.sequence = 0);
