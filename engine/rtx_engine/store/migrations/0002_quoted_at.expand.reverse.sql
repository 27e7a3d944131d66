ALTER TABLE orders DROP COLUMN quoted_at;
