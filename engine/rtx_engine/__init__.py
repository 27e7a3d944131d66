"""The trading engine: accounts, orders against the house, positions, and the streams that tell of them.

Law: `domain` is pure; `store` talks to PostgreSQL and to nothing else; `feed` makes prices; `api` and `stream` talk to
clients. Whether this pod may execute is said by the database alone, inside the transaction that executes.
"""
