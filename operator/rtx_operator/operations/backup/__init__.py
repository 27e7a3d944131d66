"""A backup: one Job that makes it, and what it said at its end.

1. Pending: the engine keeps backups, its database has the server that they are read from, and no other one runs.
2. Running: the Job runs. It ends by itself, by the kubelet when it says nothing for minutes, or at its deadline.
3. Succeeded, Failed: what the Job's pod said.

Law: a backup has succeeded when its pod said so, with the log that it needs in the repository; a Job that is complete
and of which nothing is known has failed. A terminal phase never changes. A Job that the schedule made is a backup, too:
whoever finds one without a TradingEngineBackup makes that. The status of one backup decides nothing about another.

It is an operation of its own object, so it has the table of phases in common with those of an engine, and nothing else.
"""
