-- squawk-ignore-file ban-drop-column
-- rtx: allows table-lock: the statements below take the same; these are had before anything is rewritten
LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;
ALTER TABLE orders DROP COLUMN quoted_at;
