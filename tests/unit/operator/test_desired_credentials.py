"""Generated credentials: what exists is kept, what is missing is made, what was made can be used."""

import base64
from typing import Any

import argon2
import pytest
from rtx_operator import desired
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.credentials import values

SEED, OTHER_SEED = bytes(range(32)), bytes(range(1, 33))


def build_input(**more: Any) -> desired.BuildInput:
    spec = {"version": "1.0.0", "image": {"repository": "rtx-engine"}, **more}
    parsed = TradingEngineSpec.model_validate(spec)
    return desired.BuildInput("rtx-trading", "rtx", "uid", parsed, "postgres", "redis", "rtx-system")


def without(secret: desired.Object, *keys: str) -> desired.Object:
    return {**secret, "data": {key: value for key, value in secret["data"].items() if key not in keys}}


def changed(secret: desired.Object, key: str, value: str) -> desired.Object:
    return {**secret, "data": {**secret["data"], key: base64.b64encode(value.encode()).decode()}}


def test_a_new_engine_gets_long_passwords_that_all_differ() -> None:
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    passwords = [value for key, value in {**values(internal), **values(credentials)}.items() if key != "DB_USER"]
    assert len(set(passwords)) == len(passwords) == 9
    assert min(map(len, passwords)) >= 43
    assert values(credentials)["DB_USER"] == "rtx_engine"


def test_the_admin_can_log_in_with_the_generated_password() -> None:
    _, credentials = desired.secrets(build_input(), None, None, SEED)
    made = values(credentials)
    assert argon2.PasswordHasher().verify(made["ADMIN_PASSWORD_HASH"], made["ADMIN_PASSWORD"])


def test_what_exists_is_kept_whatever_the_seed() -> None:
    # Given the Secrets of an engine that was deleted, its volume kept
    made = desired.secrets(build_input(), None, None, SEED)
    # When it is applied again, then no value has changed
    assert desired.secrets(build_input(), *made, OTHER_SEED) == made


@pytest.mark.parametrize("key", ["DB_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET"])
def test_only_what_is_missing_is_made(key: str) -> None:
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    for lost in (without(credentials, key), changed(credentials, key, "")):
        _, repaired = desired.secrets(build_input(), internal, lost, OTHER_SEED)
        assert repaired["data"][key] != credentials["data"][key]
        assert without(repaired, key) == without(credentials, key)


def test_an_admin_password_that_was_read_and_deleted_does_not_come_back() -> None:
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    _, again = desired.secrets(build_input(), internal, without(credentials, "ADMIN_PASSWORD"), OTHER_SEED)
    assert again == without(credentials, "ADMIN_PASSWORD")


def test_an_admin_password_of_the_users_choice_is_hashed() -> None:
    # Given a user who writes a new password and removes the hash
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    edited = changed(without(credentials, "ADMIN_PASSWORD_HASH"), "ADMIN_PASSWORD", "correct horse")
    # When the Secrets are built, then the hash fits the new password
    _, made = desired.secrets(build_input(), internal, edited, OTHER_SEED)
    assert values(made)["ADMIN_PASSWORD"] == "correct horse"
    assert argon2.PasswordHasher().verify(values(made)["ADMIN_PASSWORD_HASH"], "correct horse")


def test_credentials_of_the_user_are_not_ours_to_make() -> None:
    given = build_input(credentialsSecretRef={"name": "house"})
    assert [secret["metadata"]["name"] for secret in desired.secrets(given, None, None, SEED)] == ["rtx-internal"]


@pytest.mark.parametrize(("policy", "owned"), [("Retain", False), ("Delete", True)])
def test_secrets_live_as_long_as_the_volume(policy: str, owned: bool) -> None:
    given = build_input(deletionPolicy=policy)
    for secret in desired.secrets(given, None, None, SEED):
        assert bool(secret["metadata"].get("ownerReferences")) is owned
    for workload in desired.base_objects(given):
        if workload["kind"] == "StatefulSet":
            assert workload["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == policy


def test_another_password_starts_those_pods_anew_that_use_it() -> None:
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    before = desired.fingerprints(internal, credentials)
    assert desired.fingerprints(internal, credentials) == before

    rotated = desired.fingerprints(internal, changed(credentials, "REDIS_PASSWORD", "short"))
    assert rotated.cache != before.cache
    assert rotated.engine != before.engine
    assert rotated.database == before.database


def test_a_short_password_cannot_be_guessed_from_its_fingerprint() -> None:
    # Given two engines with the same short password
    mine, _ = desired.secrets(build_input(), None, None, SEED)
    other, _ = desired.secrets(build_input(), None, None, OTHER_SEED)
    _, credentials = desired.secrets(build_input(), None, None, SEED)
    short = changed(credentials, "REDIS_PASSWORD", "1234")
    # Then their fingerprints have nothing in common
    assert desired.fingerprints(mine, short).cache != desired.fingerprints(other, short).cache
