"""The HTTP API.

Law: every request body is read to its end before the response is sent, also for an error: closing a connection with an
unread body resets it. Every error is one JSON object with a reason from an enum and a message of one sentence.
"""
