"""Refresh tokens: whose they are is known before the database is asked."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtx_engine.api.keys import SigningKeys
from rtx_engine.api.refresh_tokens import RefreshTokens

OLD, NEW, NEXT = (f"{name} key, of at least thirty-two bytes" for name in ("the old", "the new", "the next"))


@given(account_id=st.integers(1, 2**63 - 1))
def test_refresh_token_names_its_account(account_id: int) -> None:
    tokens = RefreshTokens(SigningKeys([NEW]))
    token = tokens.issue(account_id)
    assert tokens.account_of(token) == account_id
    assert tokens.issue(account_id) != token


def test_rotation_of_the_key_ends_no_refresh_token() -> None:
    token = RefreshTokens(SigningKeys([OLD, NEW])).issue(7)
    assert RefreshTokens(SigningKeys([NEW, OLD])).account_of(token) == 7
    assert RefreshTokens(SigningKeys([NEW, NEXT])).account_of(token) is None


def changed(token: str, byte: int) -> str:
    content = bytearray(base64.urlsafe_b64decode(token + "="))
    content[byte] ^= 1
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.mark.parametrize("byte", [7, 20, -1], ids=["account", "random part", "signature"])
def test_refresh_token_that_was_changed_is_none(byte: int) -> None:
    tokens = RefreshTokens(SigningKeys([NEW]))
    assert tokens.account_of(changed(tokens.issue(7), byte)) is None


@pytest.mark.parametrize("token", ["", "A" * 43, "A" * 75, "é" * 75, "A" * 76])
def test_invented_refresh_token_is_none(token: str) -> None:
    assert RefreshTokens(SigningKeys([NEW])).account_of(token) is None
