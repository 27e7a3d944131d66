-- rtx: without a transaction
DROP INDEX CONCURRENTLY IF EXISTS orders_by_symbol;
