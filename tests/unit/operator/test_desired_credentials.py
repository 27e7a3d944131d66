"""Generated credentials: existing values are kept, missing ones are generated, and they work."""

import base64
from typing import Any

import argon2
import pytest
from desired_objects import servers
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


def test_generated_passwords_are_long_and_all_differ() -> None:
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    passwords = [value for key, value in {**values(internal), **values(credentials)}.items() if key != "DB_USER"]
    assert len(set(passwords)) == len(passwords) == 14
    assert min(map(len, passwords)) >= 43
    assert values(credentials)["DB_USER"] == "rtx_engine"


def test_admin_can_log_in_with_the_generated_password() -> None:
    _, credentials = desired.secrets(build_input(), None, None, SEED)
    made = values(credentials)
    assert argon2.PasswordHasher().verify(made["ADMIN_PASSWORD_HASH"], made["ADMIN_PASSWORD"])


def test_existing_values_are_kept_with_every_seed() -> None:
    # Given the Secrets of a deleted engine whose volume was kept
    made = desired.secrets(build_input(), None, None, SEED)
    # When they are built again, then no value has changed
    assert desired.secrets(build_input(), *made, OTHER_SEED) == made


@pytest.mark.parametrize("key", ["DB_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "JWT_SECRET_STANDBY"])
def test_only_missing_values_are_generated(key: str) -> None:
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    for lost in (without(credentials, key), changed(credentials, key, "")):
        _, repaired = desired.secrets(build_input(), internal, lost, OTHER_SEED)
        assert repaired["data"][key] != credentials["data"][key]
        assert without(repaired, key) == without(credentials, key)


def test_deleted_admin_password_is_not_generated_again() -> None:
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    _, again = desired.secrets(build_input(), internal, without(credentials, "ADMIN_PASSWORD"), OTHER_SEED)
    assert again == without(credentials, "ADMIN_PASSWORD")


def test_admin_password_set_by_the_user_is_hashed() -> None:
    # Given a user who writes a new password and removes the hash
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    edited = changed(without(credentials, "ADMIN_PASSWORD_HASH"), "ADMIN_PASSWORD", "correct horse")
    # When the Secrets are built, then the hash verifies the new password
    _, made = desired.secrets(build_input(), internal, edited, OTHER_SEED)
    assert values(made)["ADMIN_PASSWORD"] == "correct horse"
    assert argon2.PasswordHasher().verify(values(made)["ADMIN_PASSWORD_HASH"], "correct horse")


def test_no_credentials_are_generated_when_the_spec_names_a_secret() -> None:
    given = build_input(credentialsSecretRef={"name": "house"})
    assert [secret["metadata"]["name"] for secret in desired.secrets(given, None, None, SEED)] == ["rtx-internal"]


@pytest.mark.parametrize(("policy", "owned"), [("Retain", False), ("Delete", True)])
def test_deletion_policy_covers_secrets_and_volumes_alike(policy: str, owned: bool) -> None:
    given = build_input(deletionPolicy=policy)
    for secret in desired.secrets(given, None, None, SEED):
        assert bool(secret["metadata"].get("ownerReferences")) is owned
    for server in servers(given).values():
        assert server.kept[-1]["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == policy


def test_new_password_changes_the_fingerprint_of_the_pods_that_use_it() -> None:
    # Given the fingerprints of an engine's Secrets
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    before = desired.fingerprints(internal, credentials)
    assert desired.fingerprints(internal, credentials) == before

    # When the Redis password changes
    rotated = desired.fingerprints(internal, changed(credentials, "REDIS_PASSWORD", "short"))
    # Then those of cache and engine change, and that of the database does not
    assert rotated.cache != before.cache
    assert rotated.engine != before.engine
    assert rotated.database == before.database


def test_short_password_cannot_be_guessed_from_its_fingerprint() -> None:
    # Given two engines with the same short password
    mine, _ = desired.secrets(build_input(), None, None, SEED)
    other, _ = desired.secrets(build_input(), None, None, OTHER_SEED)
    _, credentials = desired.secrets(build_input(), None, None, SEED)
    short = changed(credentials, "REDIS_PASSWORD", "1234")
    # Then their fingerprints differ
    assert desired.fingerprints(mine, short).cache != desired.fingerprints(other, short).cache


def test_swapped_signing_keys_replace_only_pods_that_have_both() -> None:
    # Given the fingerprints of engine pods with two signing keys, and of those made before there were two
    internal, credentials = desired.secrets(build_input(), None, None, SEED)
    before = desired.fingerprints(internal, credentials)

    # When the second key is made anew, then only pods that have it change
    renewed = desired.fingerprints(internal, changed(credentials, "JWT_SECRET_STANDBY", "another"))
    assert renewed.engine == before.engine
    assert renewed.engine_with_standby != before.engine_with_standby

    # And when the two are swapped, all do
    first, second = (values(credentials)[key] for key in ("JWT_SECRET", "JWT_SECRET_STANDBY"))
    swapped = changed(changed(credentials, "JWT_SECRET", second), "JWT_SECRET_STANDBY", first)
    assert desired.fingerprints(internal, swapped).engine != before.engine
    assert desired.fingerprints(internal, swapped).engine_with_standby != before.engine_with_standby
