"""Tokens: two keys at once, the engine that they name, and the release before, which knows of neither."""

import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtx_engine.api.keys import SigningKey, SigningKeys
from rtx_engine.api.tokens import LIFETIME_SECONDS, BadTokenError, Tokens, password_generation
from rtx_engine.domain.access import CLOCK_SLACK_SECONDS, SWITCH_SLACK_SECONDS, Claims, Revocation, Role, TokenRules

OLD, NEW, NEXT = (f"{name} key, of at least thirty-two bytes" for name in ("the old", "the new", "the next"))
ENGINE = "rtx-trading/rtx"
HERE = TokenRules(ENGINE, engine_named_since=0.0)
BEFORE_THE_SWITCH = TokenRules(ENGINE, engine_named_since=None)


def tokens(*secrets: str, rules: TokenRules = HERE, admin_generation: int = 0) -> Tokens:
    return Tokens(SigningKeys(secrets), lambda: rules, admin_generation)


def signed(secret: str = NEW, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token as the release before writes it, or with `changes`."""
    now = int(time.time())
    claims = {"iss": "rtx-engine", "sub": "7", "role": "trader", "iat": now, "exp": now + 12 * 3600, **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, "HS256", headers)


def read_by_the_release_before(token: str, secret: str) -> dict[str, Any]:
    """Its own call, word for word. Raises jwt.InvalidTokenError."""
    claims: dict[str, Any] = jwt.decode(
        token,
        secret,
        algorithms=["HS256"],
        issuer="rtx-engine",
        options={"require": ["exp", "sub", "iss"], "verify_exp": False},
    )
    return claims


def test_token_names_its_engine_its_key_and_an_end_within_minutes() -> None:
    token, expires_at = tokens(NEW).issue(7, generation=3)
    assert jwt.get_unverified_header(token)["kid"] == SigningKey.of(NEW).id
    claims = jwt.decode(token, NEW, algorithms=["HS256"], audience=ENGINE)
    assert (claims["sub"], claims["gen"], claims["aud"]) == ("7", 3, ENGINE)
    assert claims["exp"] == expires_at.timestamp() == claims["iat"] + LIFETIME_SECONDS


def test_rotation_of_the_key_ends_no_token() -> None:
    # given pods that sign with the old key, and others that have swapped the two already
    behind, ahead = tokens(OLD, NEW), tokens(NEW, OLD)
    # then each has the other's tokens
    for issuer, reader in ((behind, ahead), (ahead, behind)):
        assert reader.verify(issuer.issue(7)[0]).account_id == 7
    # and once the old key has gone, its tokens have too
    after = tokens(NEW, NEXT)
    assert after.verify(ahead.issue(7)[0]).account_id == 7
    with pytest.raises(BadTokenError, match="not valid"):
        after.verify(behind.issue(7)[0])


def test_key_is_named_without_being_told() -> None:
    assert NEW not in repr(SigningKey.of(NEW))
    assert SigningKey.of(NEW).id != SigningKey.of(OLD).id
    with pytest.raises(BadTokenError, match="not valid"):  # the right name, and another key
        tokens(NEW).verify(signed(OLD, {"kid": SigningKey.of(NEW).id}))


def test_token_of_another_engine_is_refused_though_its_key_is_the_same() -> None:
    elsewhere = tokens(NEW, rules=TokenRules("rtx-trading/other", engine_named_since=0.0))
    with pytest.raises(BadTokenError, match="another engine"):
        tokens(NEW).verify(elsewhere.issue(7)[0])


def test_releases_read_each_others_tokens_until_the_switch() -> None:
    # given the rules while the release before may run
    here = tokens(NEW, rules=BEFORE_THE_SWITCH)
    # then each reads what the other writes
    assert here.verify(signed(NEW)).account_id == 7
    assert read_by_the_release_before(here.issue(7)[0], NEW)["sub"] == "7"
    # and what is written after the switch the release before would refuse: that is why there is one
    with pytest.raises(jwt.InvalidAudienceError):
        read_by_the_release_before(tokens(NEW).issue(7)[0], NEW)


def test_switch_ends_no_token_that_was_issued_before_it() -> None:
    since = time.time() - 600
    here = tokens(NEW, rules=TokenRules(ENGINE, since))
    assert here.verify(signed(NEW, iat=int(since) - 1)).account_id == 7
    assert here.verify(signed(NEW, iat=int(since + SWITCH_SLACK_SECONDS) - 1)).account_id == 7
    with pytest.raises(BadTokenError, match="another engine"):
        here.verify(signed(NEW, iat=int(since + SWITCH_SLACK_SECONDS) + 1))


def test_expired_token_is_refused_also_when_it_is_cached() -> None:
    here = tokens(NEW, rules=BEFORE_THE_SWITCH)
    token = signed(NEW, exp=int(time.time()) + 60)
    claims = here.verify(token)
    assert HERE.problem(claims, claims.expires_at) == (
        "The token has expired: get another one at POST /api/refresh, or log in again at POST /api/login."
    )
    with pytest.raises(BadTokenError, match="expired"):
        here.verify(signed(NEW, exp=int(time.time())))


def test_token_of_a_pod_whose_clock_is_ahead_is_valid() -> None:
    assert tokens(NEW, rules=BEFORE_THE_SWITCH).verify(signed(NEW, iat=int(time.time()) + 30)).account_id == 7


def test_another_password_of_the_administrator_ends_their_tokens() -> None:
    first, second = password_generation("$argon2id$one"), password_generation("$argon2id$two")
    token, _ = tokens(NEW, admin_generation=first).issue(None)
    assert tokens(NEW, admin_generation=first).verify(token).role is Role.ADMIN
    with pytest.raises(BadTokenError, match="password has changed"):
        tokens(NEW, admin_generation=second).verify(token)


@pytest.mark.parametrize(
    "token",
    [
        signed(NEW, aud=["rtx-trading/rtx"]),
        signed(NEW, gen="3"),
        signed(NEW, gen=1.5),
        signed(NEW, sub="seven"),
        signed(NEW, role="owner"),
        signed(NEW, iat=None),
        signed(NEW, exp=None),
        signed(NEW, iss="somebody"),
        signed(NEW, {"kid": "no such key"}),
        signed(NEW, more="x" * 2_000),
    ],
)
def test_token_that_we_would_not_write_is_refused(token: str) -> None:
    with pytest.raises(BadTokenError):
        tokens(NEW).verify(token)


@given(
    generation=st.none() | st.integers(0, 5),
    issued_at=st.integers(0, 200),
    revoked=st.builds(Revocation, st.integers(1, 5), st.integers(0, 200)),
)
def test_revocation_ends_earlier_tokens_and_no_later_one(
    generation: int | None, issued_at: int, revoked: Revocation
) -> None:
    claims = Claims(7, Role.TRADER, issued_at, 1000.0, ENGINE, generation)
    rules = TokenRules(ENGINE, 0.0, {7: revoked})
    if generation is None:
        is_earlier = issued_at <= revoked.since
    else:  # a generation that a failover took away may come again, but no clock is so far behind
        is_earlier = generation < revoked.generation or issued_at < revoked.since - CLOCK_SLACK_SECONDS
    assert (rules.problem(claims, now=500.0) is not None) == is_earlier
    assert TokenRules(ENGINE, 0.0, {8: revoked}).problem(claims, now=500.0) is None


def test_token_that_was_valid_a_moment_ago_is_checked_by_new_rules() -> None:
    # given a token that a pod has seen
    rules = [TokenRules(ENGINE, 0.0)]
    here = Tokens(SigningKeys([NEW]), lambda: rules[-1])
    token, _ = here.issue(7, generation=0)
    assert here.verify(token) == here.verify(token)
    # when its account's tokens are revoked
    rules.append(TokenRules(ENGINE, 0.0, {7: Revocation(1, time.time())}))
    # then it counts no more, and a later one does
    with pytest.raises(BadTokenError, match="revoked"):
        here.verify(token)
    assert here.verify(here.issue(7, generation=1)[0]).account_id == 7
