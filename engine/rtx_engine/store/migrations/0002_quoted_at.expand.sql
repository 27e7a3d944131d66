-- When the price was made that a fill was dealt at. NULL for what version 1.0 has filled and goes on filling until it
-- is gone; without a default, so that no row is rewritten.
ALTER TABLE orders ADD COLUMN quoted_at timestamptz;
