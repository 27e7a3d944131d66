"""What Redis is sent and answers on the order path: a command at a time, and replies of one line (RESP2). Pure."""

from collections.abc import Iterator

MAX_LINE_BYTES = 4096  # ours have a few
_STATUS, _NUMBER = b"+:"


class ReplyError(Exception):
    """Redis answers with an error, or with what is no reply of one line; the message is what it says."""


def command(*words: bytes) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Replies:
    """Takes replies from bytes as they come."""

    def __init__(self) -> None:
        self._unfinished = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Each reply without its type. Raises ReplyError."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\r\n")
        for line in lines:
            if not line or line[0] not in (_STATUS, _NUMBER):
                text = line[:200].decode("utf-8", "replace")
                raise ReplyError(text[1:] if line[:1] == b"-" else f"Redis answers what is no reply: {text!r}")
            yield line[1:]
        if len(self._unfinished) > MAX_LINE_BYTES:
            raise ReplyError("Redis answers what is no reply: a line without an end")
