-- Only version 1.0 left it out. NOT VALID: what it has filled stays as it is, and no row is read under the lock.
ALTER TABLE orders ADD CONSTRAINT orders_quoted_at CHECK (status <> 'filled' OR quoted_at IS NOT NULL) NOT VALID;
