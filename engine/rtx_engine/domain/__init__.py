"""What trading means: orders, quotes, positions, margin, execution.

Law: plain functions on frozen structs, no I/O and no clock: the time comes in as an argument. Money, prices and
quantities are `Decimal`, exact from JSON to PostgreSQL's `numeric`: a cent that is rounded away is somebody's cent.
"""
