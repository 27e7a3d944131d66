"""All input and output: the API server and the databases. Nothing here decides; what to do comes from outside.

Every call that waits has a deadline, every write goes through the leadership guard, and no value of a Secret is logged.
"""
