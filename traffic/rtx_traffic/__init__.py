"""Open-loop load from inside the cluster, a ledger of everything sent and received, and the verdict over it.

Law: no request is retried. Each has one attempt, and its end is recorded; repeats are orders of the schedule, marked as
such. `schedule`, `verdict` and the modules that count its figures (`orders`, `accounting`, `streams`, `completeness`,
`fenced`, `stages`) are pure; `ledger` and `rows` are data; the others do I/O.
"""
