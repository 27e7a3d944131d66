-- The users of all accounts of before; those that are opened meanwhile get theirs from the trigger. Locks no account.
WITH of_before AS MATERIALIZED (
    SELECT id, username, password_hash FROM accounts WHERE password_hash <> ''
        AND NOT EXISTS (SELECT FROM user_accounts WHERE account_id = accounts.id)
), added AS (
    INSERT INTO users (username, password_hash) SELECT username, password_hash FROM of_before ORDER BY id
    ON CONFLICT (username) DO NOTHING RETURNING id, username
)
INSERT INTO user_accounts (account_id, user_id)
SELECT of_before.id, added.id FROM added JOIN of_before USING (username)
ON CONFLICT (account_id) DO NOTHING;
