"""The trading engine: account.py, colour.py, traffic.py and autoscaling.py (of the active colour), migration.py."""
