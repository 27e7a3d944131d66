"""The Secrets that the operator makes up. A value that exists is kept for ever; only what is missing is made.

Nothing here is random: what is new follows from a seed that the caller drew.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping

import argon2.low_level

from rtx_operator.api.enums import Component, DeletionPolicy
from rtx_operator.api.names import ADMIN_PASSWORD, CredentialKey, DatabaseRole, InternalKey
from rtx_operator.desired.inputs import BuildInput, Fingerprints
from rtx_operator.desired.render import Object, render

_Values = dict[str, str]


def secrets(
    inputs: BuildInput, live_internal: Object | None, live_credentials: Object | None, seed: bytes
) -> list[Object]:
    """The Secret of the operator's own parts, and the engine's unless the spec names one.

    `live_*` are the Secrets as they were just read; `seed` are at least 32 bytes from a good source of randomness.
    """

    def invented(key: str) -> str:
        drawn = hmac.new(seed, key.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(drawn).decode().rstrip("=")

    internal = _internal(values(live_internal), invented)
    made = [_secret(inputs, inputs.names.internal, Component.DATABASE, internal)]
    if inputs.credentials_are_ours:
        credentials = _credentials(values(live_credentials), invented)
        made.append(_secret(inputs, inputs.names.credentials, Component.ENGINE, credentials))
    return made


def values(secret: Object | None) -> _Values:
    """The decoded values of a Secret, empty ones left out."""
    encoded: Mapping[str, str] = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in encoded.items() if value}


def fingerprints(internal: Object, credentials: Object | None) -> Fingerprints:
    """Stand for the passwords in the two Secrets.

    Keyed with a password that is always long and random, so that a short one cannot be guessed from its fingerprint.
    """
    mine, given = values(internal), values(credentials)
    key = mine[InternalKey.DB_SUPERUSER_PASSWORD]

    def mark(*secret: str) -> str:
        return hmac.new(key.encode(), "\0".join(secret).encode(), hashlib.sha256).hexdigest()[:16]

    return Fingerprints(
        engine=mark(*(given.get(name, "") for name in CredentialKey), mine[InternalKey.PEER_SECRET]),
        database=mark(*(mine[name] for name in _DATABASE_KEYS), given.get(CredentialKey.DB_PASSWORD, "")),
        cache=mark(given.get(CredentialKey.REDIS_PASSWORD, "")),
    )


_DATABASE_KEYS = (
    InternalKey.DB_SUPERUSER_PASSWORD,
    InternalKey.DB_OPERATOR_PASSWORD,
    InternalKey.DB_MIGRATOR_PASSWORD,
)


def _internal(kept: _Values, invented: Callable[[str], str]) -> _Values:
    return {key.value: kept.get(key) or invented(key) for key in InternalKey}


def _credentials(kept: _Values, invented: Callable[[str], str]) -> _Values:
    made = {
        key.value: kept.get(key) or invented(key)
        for key in (CredentialKey.DB_PASSWORD, CredentialKey.REDIS_PASSWORD, CredentialKey.JWT_SECRET)
    }
    made[CredentialKey.DB_USER.value] = DatabaseRole.ENGINE.value
    # Whoever has read the password may delete it: with the hash in place it is not made again.
    password = kept.get(ADMIN_PASSWORD)
    if CredentialKey.ADMIN_PASSWORD_HASH not in kept:
        password = password or invented(ADMIN_PASSWORD)
        salt = invented(CredentialKey.ADMIN_PASSWORD_HASH).encode()
        kept = {**kept, CredentialKey.ADMIN_PASSWORD_HASH.value: _argon2id(password, salt)}
    made[CredentialKey.ADMIN_PASSWORD_HASH.value] = kept[CredentialKey.ADMIN_PASSWORD_HASH]
    return {**made, ADMIN_PASSWORD: password} if password else made


def _argon2id(password: str, salt: bytes) -> str:
    """The PHC string of RFC 9106's second recommended choice: 64 MiB, 3 passes."""
    hashed = argon2.low_level.hash_secret(
        password.encode(), salt[:16], time_cost=3, memory_cost=65536, parallelism=4, hash_len=32, type=argon2.Type.ID
    )
    return hashed.decode()


def _secret(inputs: BuildInput, name: str, component: Component, content: _Values) -> Object:
    kept = inputs.spec.deletion_policy is DeletionPolicy.RETAIN
    return render(
        "credentials-secret",
        name=name,
        namespace=inputs.namespace,
        labels=inputs.names.labels(component),
        owners=[] if kept else inputs.owners,
        data={key: base64.b64encode(value.encode()).decode() for key, value in sorted(content.items())},
    )
