"""All input and output: the API server, the databases, the engine pods. Nothing here decides.

Law: every call that waits has a deadline, every write to the API server passes the leadership guard, and no value of
a Secret is logged.
"""
