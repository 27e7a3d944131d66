"""Makes a backup with pgBackRest, runs its server, restores: the program of the containers of backups and restores.

Law: info.py, retention.py and targets.py are pure; the others act. Only Python's standard library: the image has no
other.
"""
