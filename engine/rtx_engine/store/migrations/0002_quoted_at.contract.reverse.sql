-- squawk-ignore-file ban-drop-constraint
ALTER TABLE orders DROP CONSTRAINT orders_quoted_at;
