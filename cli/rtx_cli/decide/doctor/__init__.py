"""What is wrong with an engine, and what to do: functions from evidence to findings, in the order of their weight."""
