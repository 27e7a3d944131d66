"""The HTTP side: bytes in, the domain asked, bytes out.

Law: every body is read to its end before the answer is sent, also when the answer is an error (an unread body turns a
closing connection into a reset); every error is one JSON object with a reason out of an enum and one sentence.
"""
