"""WebSockets: price ticks, and the events of each account in order.

Law: the database guarantees the events of an account (each exactly once, in order, without a gap); Redis only makes
them fast. A client that reads too slowly is disconnected without delaying the others.
"""

from rtx_engine.stream.service import Stream

__all__ = ["Stream"]
