"""Controllers: one for each kind of the API. Each reconcile is the same five steps, which base.py has."""
