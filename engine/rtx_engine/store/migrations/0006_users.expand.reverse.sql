-- squawk-ignore-file ban-drop-default, ban-drop-function, ban-drop-table
-- rtx: allows table-lock: the statements below take the same; these are had before anything is rewritten
LOCK TABLE accounts, users, user_accounts, refresh_tokens, features IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER user_of_new_account ON accounts;
ALTER TABLE accounts ALTER COLUMN username DROP DEFAULT, ALTER COLUMN password_hash DROP DEFAULT;
DROP TABLE users, user_accounts, refresh_tokens, features;
DROP FUNCTION user_of_new_account(), login_of_account(), login_of_user();
