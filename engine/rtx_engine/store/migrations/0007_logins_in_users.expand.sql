-- The users of all accounts of before; those that are opened meanwhile get theirs from the trigger. Locks no account.
-- Each statement is planned once the one before has written its rows: of rows that a WITH is to return, the planner knows
-- no number, and joins all with all.
INSERT INTO users (username, password_hash)
SELECT username, password_hash FROM accounts
WHERE password_hash <> '' AND NOT EXISTS (SELECT FROM user_accounts WHERE account_id = accounts.id)
ORDER BY id
ON CONFLICT (username) DO NOTHING;
INSERT INTO user_accounts (account_id, user_id)
SELECT accounts.id, users.id FROM accounts JOIN users ON users.username = accounts.username
WHERE NOT EXISTS (SELECT FROM user_accounts WHERE account_id = accounts.id)
ON CONFLICT (account_id) DO NOTHING;
