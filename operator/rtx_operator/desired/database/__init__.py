"""The database: PostgreSQL."""
