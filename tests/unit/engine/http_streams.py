"""Random streams of HTTP requests, valid or damaged, and how they arrive."""

import random
from dataclasses import dataclass

METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
PATHS = ("/", "/a", "/a/b?c=d", "/%41%2f", "/%ff", "*", "//x", "http://x/y?z", "/a;b", "/?", "/a#b", "/" + "p" * 300)
PLAIN_HEADERS = (
    b"Host: x",
    b"host:x",
    b"X-Echo:  one ",
    b"x-echo: \xff\xfe",
    b"X-Echo:",
    b"Accept: */*",
    b"Authorization: Bearer x.y.z",
    b"Connection: keep-alive",
    b"Content-Type: application/json",
    b"X-Long: " + b"y" * 500,
)
DAMAGE = (b"\x00", b"\r", b"\n", b"\r\n", b" ", b":", b"\xff", b"0", b"Content-Length: 3\r\n", b"\r\n\r\n", b"GET ")


@dataclass(frozen=True)
class Stream:
    """What a client sends. `is_valid`: nothing was damaged."""

    data: bytes
    is_valid: bool

    def parts(self, chance: random.Random) -> list[bytes]:
        """The stream as it may arrive: as a whole, byte by byte, or anything between."""
        if not self.data:
            return []
        count = chance.choice((0, 1, 2, 5, len(self.data) - 1 if len(self.data) < 400 else 20))
        cuts = sorted({chance.randrange(len(self.data)) for _ in range(count)} | {0})
        return [self.data[start:end] for start, end in zip(cuts, [*cuts[1:], None], strict=True)]


def random_stream(chance: random.Random) -> Stream:
    data = b"".join(_request(chance) for _ in range(chance.choice((1, 1, 2, 3, 6))))
    if chance.random() < 0.5:
        return Stream(data, is_valid=True)
    for _ in range(chance.choice((1, 1, 3))):
        if len(data) < 20:
            break
        at = chance.randrange(len(data))
        kind = chance.random()
        if kind < 0.3:
            data = data[:at] + chance.choice(DAMAGE) + data[at:]
        elif kind < 0.6:
            data = data[:at] + data[at + chance.choice((1, 2, 9)) :]
        elif kind < 0.8:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        else:
            data = data[: at + 1]
    return Stream(data, is_valid=False)


def _request(chance: random.Random) -> bytes:
    method, path = chance.choice(METHODS), chance.choice(PATHS)
    version = "1.0" if chance.random() < 0.08 else "1.1"
    headers = chance.sample(PLAIN_HEADERS, chance.randrange(6))
    body = chance.randbytes(chance.choice((0, 1, 20, 3000)))
    if chance.random() < 0.08:
        headers.append(b"Connection: close")
    if chance.random() < 0.08:
        headers.append(b"Expect: 100-continue")
    if method in {"GET", "HEAD"} or chance.random() < 0.1:
        body = b""
    elif version == "1.1" and chance.random() < 0.4:
        headers.append(b"Transfer-Encoding: chunked")
        body = _chunked(body, chance)
    else:
        headers.append(b"Content-Length: %d" % len(body))
    chance.shuffle(headers)
    lines = [f"{method} {path} HTTP/{version}".encode(), *headers, b"", b""]
    return b"\r\n" * (chance.random() < 0.05) + b"\r\n".join(lines) + body


def _chunked(body: bytes, chance: random.Random) -> bytes:
    chunks = []
    while body:
        size = chance.choice((1, 7, 1000))
        chunk, body = body[:size], body[size:]
        extension = b";a=b" if chance.random() < 0.1 else b""
        chunks.append(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk))
    trailers = b"X-Trailer: one\r\n" if chance.random() < 0.3 else b""
    return b"".join([*chunks, b"0\r\n", trailers, b"\r\n"])
