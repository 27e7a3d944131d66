-- squawk-ignore-file ban-drop-column
ALTER TABLE orders DROP COLUMN quoted_at;
