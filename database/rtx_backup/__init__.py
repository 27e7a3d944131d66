"""Makes one backup with pgBackRest, or runs its server; the program of the image's backup containers.

Law: info.py and retention.py are pure; run.py and serve.py act. Only Python's standard library: the image has no other.
"""
