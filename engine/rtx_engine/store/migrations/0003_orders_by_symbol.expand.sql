-- rtx: without a transaction
-- Serves GET /api/orders?symbol=…; made while orders flow.
CREATE INDEX CONCURRENTLY orders_by_symbol ON orders (account_id, symbol, sequence);
