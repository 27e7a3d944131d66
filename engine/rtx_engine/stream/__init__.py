"""The WebSocket side: ticks, and each account's own events in order.

Law: the database makes an account's events sure (each exactly once, in order, none left out), Redis only makes them
quick; a client that reads too slowly is dropped alone.
"""

from rtx_engine.stream.service import Stream

__all__ = ["Stream"]
