"""database/postgresql.py: what a member asks of a primary ends, whatever has become of that one."""

import socket
import threading
from collections.abc import Iterator

import postgresql
import pytest

AUTHENTICATED = b"R" + (8).to_bytes(4, "big") + (0).to_bytes(4, "big")
READY = b"Z" + (5).to_bytes(4, "big") + b"I"
ENCRYPTION_REQUEST_BYTES = 8  # SSLRequest and GSSENCRequest of libpq; its startup message is longer


@pytest.fixture
def silent_primary(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a primary that lets clients in and answers no query, as a node does that is lost after that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_let_in, args=(listener,), daemon=True).start()
        monkeypatch.setenv("PGPORT", str(listener.getsockname()[1]))
        yield "127.0.0.1"


def _let_in(listener: socket.socket) -> None:
    client, _ = listener.accept()
    with client:
        while len(client.recv(4096)) == ENCRYPTION_REQUEST_BYTES:
            client.sendall(b"N")
        client.sendall(AUTHENTICATED + READY)
        while client.recv(4096):
            pass


def test_primary_that_answers_no_query_is_not_waited_for(silent_primary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a standby that asks a primary for a segment, to learn whether it has to be copied anew
    monkeypatch.setenv("DB_REPLICATION_PASSWORD", "unused")
    monkeypatch.setattr(postgresql, "QUERY_TIMEOUT_SECONDS", 1.0)

    # Then it knows nothing, and goes on: PostgreSQL waits for the answer, and follows nobody else meanwhile
    assert postgresql.has_segment(silent_primary, "000000010000000000000001") is None
