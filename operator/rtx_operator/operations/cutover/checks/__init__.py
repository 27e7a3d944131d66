"""What each phase of a cutover waits for: chains of checks.

Unknown, missing and unanswered is never passed. The first check that is not passed is what the cutover waits for in
its message, so the order is the one in which a person would look.
"""
