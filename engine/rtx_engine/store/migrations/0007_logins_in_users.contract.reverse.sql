-- squawk-ignore-file adding-field-with-default, disallowed-unique-constraint
-- rtx: allows row-locks: by hand only, while no account is opened; it writes each account, and locks the table meanwhile
-- rtx: allows table-lock: the statements below take the same; these are had before anything is rewritten
LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE;
LOCK TABLE users, user_accounts IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM features WHERE name = 'tokens_name_their_engine';
ALTER TABLE accounts
    ADD COLUMN username text NOT NULL DEFAULT gen_random_uuid()::text UNIQUE
        CHECK (length(username) BETWEEN 1 AND 64),
    ADD COLUMN password_hash text NOT NULL DEFAULT '';
UPDATE accounts SET username = users.username, password_hash = users.password_hash
FROM users JOIN user_accounts ON user_accounts.user_id = users.id WHERE user_accounts.account_id = accounts.id;

CREATE FUNCTION user_of_new_account() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    WITH added AS (
        INSERT INTO public.users (username, password_hash) VALUES (NEW.username, NEW.password_hash) RETURNING id
    )
    INSERT INTO public.user_accounts (account_id, user_id) SELECT NEW.id, added.id FROM added;
    RETURN NULL;
END
$function$;
CREATE FUNCTION login_of_account() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    UPDATE public.accounts SET username = users.username, password_hash = users.password_hash
    FROM public.users
    WHERE accounts.id = NEW.account_id AND users.id = NEW.user_id AND accounts.password_hash <> users.password_hash;
    RETURN NULL;
END
$function$;
CREATE FUNCTION login_of_user() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    UPDATE public.accounts SET username = NEW.username, password_hash = NEW.password_hash
    FROM public.user_accounts
    WHERE user_accounts.user_id = NEW.id AND accounts.id = user_accounts.account_id
        AND accounts.password_hash <> NEW.password_hash;
    RETURN NULL;
END
$function$;
CREATE TRIGGER user_of_new_account AFTER INSERT ON accounts
    FOR EACH ROW WHEN (NEW.password_hash <> '') EXECUTE FUNCTION user_of_new_account();
CREATE TRIGGER login_of_account AFTER INSERT ON user_accounts
    FOR EACH ROW EXECUTE FUNCTION login_of_account();
CREATE TRIGGER login_of_user AFTER UPDATE OF password_hash ON users
    FOR EACH ROW EXECUTE FUNCTION login_of_user();
