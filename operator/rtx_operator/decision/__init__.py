"""The decision about a TradingEngine, from what was observed of it.

Law: pure. No clock, no I/O, no memory: everything is decided anew each time, from the observation and from status.
decide.py puts the parts together; each part is a file: the chain of an installation (install.py), the objects to apply
(apply.py) and to prune (prune.py), who executes (fence.py), sizes (sizes.py), what status says (conditions.py), which
Events are emitted (events.py), and when the engine is reconciled again (requeue.py).
"""
