"""The blue-green cutover: from one set of engine pods to another, and back, without failing a request.

Law: pure. What is remembered (state.py) and what was seen go in; what is remembered next and what is to be done come
out (advance.py). Where a cutover stands is a phase, the ways between phases are a table (transitions.py), what a phase
waits for is a chain of checks (checks.py), and what it does is data (effects.py, steps.py), carried out elsewhere.

A phase and its deadline are remembered before anything of it is done. Everything done is idempotent, and counts when
it is *seen*, never because it was asked for. So the operator may be killed at any instant.
"""
