ALTER TABLE orders DROP CONSTRAINT orders_quoted_at;
