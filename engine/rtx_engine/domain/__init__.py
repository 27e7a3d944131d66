"""The trading rules: orders, quotes, positions, margin, execution.

Law: pure functions on frozen structs, without I/O and clock: the time is an argument. Money, prices and quantities are
`Decimal`, exact from JSON to PostgreSQL's `numeric`.
"""
