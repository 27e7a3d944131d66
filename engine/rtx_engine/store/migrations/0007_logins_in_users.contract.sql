-- squawk-ignore-file ban-drop-column, ban-drop-function
-- Nobody reads logins from accounts any more, and nobody is left who refuses a token that names its engine.
DROP TRIGGER user_of_new_account ON accounts;
DROP TRIGGER login_of_account ON user_accounts;
DROP TRIGGER login_of_user ON users;
DROP FUNCTION user_of_new_account(), login_of_account(), login_of_user();
ALTER TABLE accounts DROP COLUMN username, DROP COLUMN password_hash;
INSERT INTO features (name) VALUES ('tokens_name_their_engine');
