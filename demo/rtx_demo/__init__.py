"""Drives a cluster through kubectl: `make demo`, and the building blocks of the end-to-end tests.

Law: every call goes through kubectl, as a user's would, and only to the local cluster; other contexts are refused.
`manifests` and `report` are pure; each other module covers one part of the system from the user's side.
"""
