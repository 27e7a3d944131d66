-- squawk-ignore-file ban-drop-constraint
-- rtx: allows table-lock: the statements below take the same; these are had before anything is rewritten
LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;
ALTER TABLE orders DROP CONSTRAINT orders_quoted_at;
