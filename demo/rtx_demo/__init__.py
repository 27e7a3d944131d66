"""Drives a cluster from outside: what `make demo` shows, and what the end-to-end tests are made of.

Law: everything goes through kubectl, as a user's hands would, and only ever to the local cluster: no other
context is touched. `manifests` and `report` are pure; each other module is one part of the system as its user sees it.
"""
