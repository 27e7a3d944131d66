"""The trading engine: its account, its colours, the traffic to the active one, and its migration Jobs."""
