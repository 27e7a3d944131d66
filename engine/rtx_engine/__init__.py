"""The trading engine: accounts, orders with the house as counterparty, positions, price and event streams.

Law: `domain` is pure; `store` uses PostgreSQL only; `feed` makes prices; `api` and `stream` serve clients. Only the
database decides whether this pod may execute, inside the transaction that executes.
"""
