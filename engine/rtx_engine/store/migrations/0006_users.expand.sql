-- Who may log in, beside the accounts that they trade on. Until nobody is left who knows logins only as columns of
-- accounts, triggers keep both equal: a login that either release makes or changes is the same in the other.

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 64),
    password_hash text NOT NULL,
    generation bigint NOT NULL DEFAULT 0,  -- of their tokens: those of an earlier one are revoked
    revoked_at timestamptz,  -- when this generation began; NULL: it is the first
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_revoked ON users (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE user_accounts (
    account_id bigint PRIMARY KEY,
    user_id bigint NOT NULL
);
CREATE INDEX user_accounts_user ON user_accounts (user_id);

CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY,  -- SHA-256 of the token, which only its client has
    user_id bigint NOT NULL,
    generation bigint NOT NULL,  -- of the user when the token was issued: it counts while that is theirs
    expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id, expires_at);

-- What a release does only once nobody is left who could not read it: a row is written by a contract half.
CREATE TABLE features (
    name text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON users
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON user_accounts
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON refresh_tokens
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON features
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();

GRANT SELECT, INSERT, UPDATE ON users TO rtx_engine;
GRANT SELECT, INSERT ON user_accounts TO rtx_engine;
GRANT SELECT, INSERT, DELETE ON refresh_tokens TO rtx_engine;
GRANT SELECT ON features TO rtx_engine;

-- An account that the release before opens has its login in its own row.
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

-- Asked for each row of 0007, so by keys alone: a join that is planned for small tables reads all accounts each time.
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

CREATE TRIGGER login_of_account AFTER INSERT ON user_accounts
    FOR EACH ROW EXECUTE FUNCTION login_of_account();
CREATE TRIGGER login_of_user AFTER UPDATE OF password_hash ON users
    FOR EACH ROW EXECUTE FUNCTION login_of_user();

-- This release opens accounts without a login; the trigger writes it a moment later, in the same statement.
ALTER TABLE accounts
    ALTER COLUMN username SET DEFAULT gen_random_uuid()::text,
    ALTER COLUMN password_hash SET DEFAULT '';
CREATE TRIGGER user_of_new_account AFTER INSERT ON accounts
    FOR EACH ROW WHEN (NEW.password_hash <> '') EXECUTE FUNCTION user_of_new_account();
