"""Operations: all that takes its time and has phases in status. Each is a folder of the same shape.

Law: pure. What status remembers and what was observed go in; what status is to remember and the effects come out.

1. A phase and its deadline are in status before any effect of it is carried out: a reconcile moves the phase, or acts
   in it, never both. So the next leader finds in status what may already have been done.
2. Every effect is idempotent, and counts when its result is *observed*, never because it was asked for.
3. A phase is left by an event that its row in the table names (machine.py), and in no other way. Success is asked
   before failure, failure before the deadline, and a deadline does not fire after a gap in observation.
4. Unknown, missing and unanswered is never passed.
5. Operations know nothing of each other. What may begin while what runs is a table (arbiter.py).
"""
