-- The journal: one row for each change of an account's money that is no fill. Money is in the minor unit of the account's
-- currency (cents). Rows are numbered by the account's event_sequence, which its orders share; the opening has the number
-- 0. Until fills are entered here too, balance = sum of journal.amount + sum of orders.realised: the view ledger.
-- One partition a week, so that old rows leave as a whole. No default partition: to attach another would scan it.
CREATE TABLE journal (
    account_id bigint NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    at timestamptz NOT NULL,
    amount bigint NOT NULL,  -- as added to the balance
    balance bigint NOT NULL,  -- after it
    epoch bigint,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),  -- 1 opening, 2 deposit, 3 withdrawal, 4 adjustment
    colour text,
    client_order_id text CHECK (length(client_order_id) BETWEEN 1 AND 96),  -- the key of who asked; happens once
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    author text NOT NULL CHECK (length(author) BETWEEN 1 AND 64),
    CHECK (CASE kind WHEN 2 THEN amount > 0 WHEN 3 THEN amount < 0 ELSE true END)
) PARTITION BY RANGE (at);
CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
-- No UPDATE and no DELETE: a wrong entry is set right by another one.
GRANT SELECT, INSERT ON journal TO rtx_engine;

-- Makes the partitions from the week of yesterday (clocks differ) to `ahead` weeks from now. Returns how many weeks from
-- now on have one. A partition is built beside the table and then attached: that waits for no reader or writer, and none of
-- them waits for it.
-- With its owner's rights: the engine's role makes no tables, but its pods call this daily.
CREATE FUNCTION make_journal_weeks(ahead integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $function$
DECLARE
    monday timestamptz := date_trunc('week', now() - interval '1 day');
    name text;
BEGIN
    WHILE monday <= now() + ahead * interval '1 week' LOOP
        name := to_char(monday, '"journal_"IYYY"w"IW');
        IF to_regclass('public.' || name) IS NULL THEN
            LOCK TABLE public.journal IN SHARE UPDATE EXCLUSIVE MODE;  -- one session makes them; it is ATTACH's own lock
            CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;  -- another session has made it meanwhile
            EXECUTE format(
                'CREATE TABLE public.%1$I (LIKE public.journal INCLUDING ALL, CHECK (at >= %2$L AND at < %3$L))',
                name, monday, monday + interval '1 week');
            EXECUTE format('ALTER TABLE public.%I ADD PRIMARY KEY (account_id, sequence)', name);
            EXECUTE format(
                'CREATE UNIQUE INDEX ON public.%I (account_id, client_order_id) WHERE client_order_id IS NOT NULL', name);
            EXECUTE format($trigger$
                CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.%I
                FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
                    <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
                EXECUTE FUNCTION rtx_operator.fence_statement()$trigger$, name);
            EXECUTE format('ALTER TABLE public.journal ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                name, monday, monday + interval '1 week');
        END IF;
        monday := monday + interval '1 week';
    END LOOP;
    RETURN (monday::date - date_trunc('week', now())::date) / 7;
END
$function$;
REVOKE ALL ON FUNCTION make_journal_weeks(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_journal_weeks(integer) TO rtx_engine;
-- rtx: allows call: it is the function above; nobody has the table yet
SELECT make_journal_weeks(8);

-- Each account begins with an entry, whoever opens it: the release before this one knows of no journal.
CREATE FUNCTION enter_opening() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp
AS $function$
BEGIN
    PERFORM make_journal_weeks(0);  -- costs a look-up; that release does not make them ahead
    INSERT INTO journal (account_id, sequence, at, amount, balance, epoch, kind, colour, reason, author)
    VALUES (NEW.id, NEW.event_sequence, now(), 100 * NEW.balance, 100 * NEW.balance,
        nullif(current_setting('rtx.epoch', true), '')::bigint, 1, nullif(current_setting('rtx.colour', true), ''),
        'account opened', 'admin');
    RETURN NULL;
END
$function$;
CREATE TRIGGER enter_opening AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION enter_opening();

-- What a pod remembers of an account is compared by event_sequence. So nothing of it changes without the next number,
-- whoever changes it; no function runs unless it refuses.
CREATE FUNCTION refuse_without_sequence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RAISE EXCEPTION 'account % changes only with its next event_sequence', OLD.id
        USING ERRCODE = 'RX002', HINT = 'Enter the change as a row of journal under that number, in the same transaction.';
END
$function$;
CREATE TRIGGER moves_with_sequence BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN (NEW.event_sequence < OLD.event_sequence OR NEW.event_sequence = OLD.event_sequence AND (
        NEW.balance <> OLD.balance OR NEW.leverage <> OLD.leverage OR NEW.currency <> OLD.currency OR NEW.id <> OLD.id))
    EXECUTE FUNCTION refuse_without_sequence();

-- A number without its order or entry is a gap in what clients are told, and money without them is a sum that nobody
-- can explain. Pods write all of it in one statement, and pay for a comparison; of anybody else it is looked at when
-- their transaction ends.
CREATE FUNCTION refuse_number_without_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
AS $function$
DECLARE
    entered bigint;
    moved numeric;
BEGIN
    SELECT count(*), coalesce(sum(cents), 0) INTO entered, moved FROM (
        SELECT 100 * realised AS cents FROM orders
        WHERE account_id = NEW.id AND sequence > OLD.event_sequence AND sequence <= NEW.event_sequence
        UNION ALL
        SELECT amount FROM journal
        WHERE account_id = NEW.id AND sequence > OLD.event_sequence AND sequence <= NEW.event_sequence
    ) AS numbered;
    IF (entered, moved) <> (NEW.event_sequence - OLD.event_sequence, 100 * (NEW.balance - OLD.balance)) THEN
        RAISE EXCEPTION 'account % moves from event_sequence % to % without the entries of that', NEW.id,
            OLD.event_sequence, NEW.event_sequence
            USING ERRCODE = 'RX002',
            HINT = 'Enter what each number adds to the balance as a row of journal, in the same transaction.';
    END IF;
    RETURN NULL;
END
$function$;
CREATE CONSTRAINT TRIGGER number_is_entered AFTER UPDATE ON accounts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (session_user <> 'rtx_engine' AND NEW.event_sequence <> OLD.event_sequence)
    EXECUTE FUNCTION refuse_number_without_entry();

-- The account's event_sequence when a position was last written. Who says a higher one pays for a comparison only; of all
-- others (the release before this one, a person) the account is looked at, when their transaction ends: it must be theirs.
ALTER TABLE positions ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
CREATE FUNCTION refuse_position_without_sequence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
AS $function$
DECLARE
    changed bigint := CASE TG_OP WHEN 'DELETE' THEN OLD.account_id ELSE NEW.account_id END;
BEGIN
    -- Written by this transaction or within a savepoint of it, whose number is higher: another transaction of a higher
    -- one has ended, or its row could not be seen.
    PERFORM FROM accounts WHERE id = changed AND CASE WHEN age(xmin) <= 0 THEN
        pg_xact_status((pg_current_xact_id()::text::bigint - age(xmin))::text::xid8) = 'in progress' END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a position of account % changes only with the account''s next event_sequence', changed
            USING ERRCODE = 'RX002', HINT = 'Change both in one transaction.';
    END IF;
    RETURN NULL;
END
$function$;
CREATE CONSTRAINT TRIGGER opens_with_sequence AFTER INSERT ON positions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.sequence <= 0) EXECUTE FUNCTION refuse_position_without_sequence();
CREATE CONSTRAINT TRIGGER moves_with_sequence AFTER UPDATE ON positions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.sequence <= OLD.sequence AND (NEW.quantity <> OLD.quantity OR NEW.average_price <> OLD.average_price)
        OR NEW.account_id <> OLD.account_id OR NEW.symbol <> OLD.symbol)
    EXECUTE FUNCTION refuse_position_without_sequence();
CREATE CONSTRAINT TRIGGER goes_with_sequence AFTER DELETE ON positions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION refuse_position_without_sequence();

-- All that moved money, for people: of each account the sum of amount is its balance, in cents.
CREATE VIEW ledger AS
SELECT account_id, sequence, at, (ARRAY['opening', 'deposit', 'withdrawal', 'adjustment'])[kind] AS kind, amount,
    client_order_id, reason, author
FROM journal
UNION ALL
SELECT account_id, sequence, executed_at, 'fill', (100 * realised)::bigint, client_order_id, NULL, NULL
FROM orders WHERE status = 'filled';
GRANT SELECT ON ledger TO rtx_engine;
