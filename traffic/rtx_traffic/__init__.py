"""Open-loop load from inside the cluster, a ledger of everything sent and seen, and the verdict over it.

Law: nothing here is ever sent twice on its own account. A request has one attempt, and whatever happens to it is
written down; the client's repeats are orders of the schedule, marked as such. `schedule` and `verdict` are pure, and so
are the modules that count its figures (`orders`, `accounting`, `streams`, `completeness`, `fenced`, `stages`); `ledger`
and `rows` are data, and the rest does I/O.
"""
