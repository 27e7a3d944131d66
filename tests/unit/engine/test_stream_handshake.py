"""The upgrade request of a stream: valid parameters, and messages for invalid ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from rtx_engine.api.errors import ApiError
from rtx_engine.stream.cursor import Cursor
from rtx_engine.stream.handshake import Request, parse


def ask(target, authorization=None):
    headers = CIMultiDict(Host="test")
    if authorization is not None:
        headers["Authorization"] = authorization
    return parse(target.encode(), headers)


@pytest.mark.parametrize(
    ("target", "authorization", "request_"),
    [
        ("/ws", "Bearer good", Request("good", (), None)),
        ("/ws", "bearer  good", Request("good", (), None)),
        ("/ws", None, Request(None, (), None)),
        ("/ws?since=0&symbols=EURUSD", None, Request(None, ("EURUSD",), 0)),
        ("/ws?symbols=XAUUSD,EURUSD,XAUUSD,", "Bearer good", Request("good", ("XAUUSD", "EURUSD"), None)),
        ("/ws?symbols=", "Bearer good", Request("good", (), None)),
        ("/ws?since=9223372036854775807", "Bearer good", Request("good", (), 2**63 - 1)),
        ("/ws?of=no&interest", "Bearer good", Request("good", (), None)),
    ],
)
def test_valid_upgrade_request_is_parsed(target, authorization, request_):
    assert ask(target, authorization) == request_


@pytest.mark.parametrize(
    ("target", "authorization", "status", "sentence"),
    [
        ("/", "Bearer good", 404, "There is no WebSocket at '/': connect to /ws."),
        ("/ws/", "Bearer good", 404, "There is no WebSocket at '/ws/': connect to /ws."),
        ("/ws", "Bearer ", 401, "The Authorization header is not a bearer token: send 'Bearer' and a token."),
        ("/ws", "Basic dTpw", 401, "The Authorization header is not a bearer token: send 'Bearer' and a token."),
        (
            "/ws?token=good",
            None,
            400,
            "token is in the URL, which logs and browsers keep: send it in the Authorization ",
        ),
        ("/ws?token=", "Bearer good", 400, "token is in the URL, which logs and browsers keep: send it in the "),
        ("/ws?token=good&token=bad", None, 400, "token is given 2 times: give it once."),
        ("/ws?symbols=EURUSD,DOGE", "Bearer good", 400, "symbols contains 'DOGE', which is not traded: choose from "),
        ("/ws?symbols=eurusd", "Bearer good", 400, "symbols contains 'eurusd', which is not traded: choose from "),
        ("/ws?since=-1", "Bearer good", 400, "since is '-1': give a whole number from 0 to 9223372036854775807"),
        ("/ws?since=", "Bearer good", 400, "since is '': give a whole number from 0 to 9223372036854775807"),
        (
            "/ws?since=٣",
            "Bearer good",
            400,
            "since is '\\ufffd\\ufffd': give a whole number from 0 to 9223372036854775807",
        ),
        ("/ws?since=1e3", "Bearer good", 400, "since is '1e3': give a whole number from 0 to 9223372036854775807"),
        (
            "/ws?since=9223372036854775808",
            "Bearer good",
            400,
            "since is '9223372036854775808': give a whole number from 0 to 9223372036854775807",
        ),
        ("/ws?since=1&since=2", "Bearer good", 400, "since is given 2 times: give it once."),
    ],
)
def test_invalid_upgrade_request_is_refused_with_a_message(target, authorization, status, sentence):
    with pytest.raises(ApiError) as refused:
        ask(target, authorization)
    assert refused.value.status == status
    assert str(refused.value).startswith(sentence)


@given(start=st.integers(0, 50), arrivals=st.lists(st.integers(0, 80)))
def test_cursor_admits_each_event_once_and_in_order(start, arrivals):
    cursor = Cursor(sent=start, newest=start)

    through = [sequence for sequence in arrivals if cursor.admit(sequence)]

    assert through == list(range(start + 1, start + 1 + len(through)))
    assert cursor.sent == start + len(through)
    assert cursor.behind == (max([start, *arrivals]) > cursor.sent)
