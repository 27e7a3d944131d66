"""The Secrets that the operator generates. An existing value is never changed; only missing values are generated.

Nothing here is random: new values are derived from a seed of the caller.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable

import argon2.low_level

from rtx_operator.api.enums import Component, DeletionPolicy
from rtx_operator.api.names import ADMIN_PASSWORD, KEPT, CredentialKey, DatabaseRole, InternalKey
from rtx_operator.desired.inputs import BuildInput, Fingerprints
from rtx_operator.desired.render import Object, render
from rtx_operator.observation import secret_text

_Values = dict[str, str]


def secrets(
    inputs: BuildInput,
    live_internal: Object | None,
    live_credentials: Object | None,
    seed: bytes,
    incarnation: str = "",
) -> list[Object]:
    """The internal Secret, and the credentials Secret unless the spec names one.

    `live_*` are the Secrets as just read, None when missing. `seed` is at least 32 bytes from a cryptographic source.
    Keys that are not the operator's are left out: they belong to whoever added them. `incarnation` replaces the one
    that there is, as restored data are those of another database; empty: it stays.
    """

    def generate(key: str) -> str:
        drawn = hmac.new(seed, key.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(drawn).decode().rstrip("=")

    renewed = {InternalKey.BACKUP_INCARNATION.value: incarnation} if incarnation else {}
    internal = _internal({**values(live_internal), **renewed}, generate)
    made = [_secret(inputs, inputs.names.internal, Component.DATABASE, internal)]
    if inputs.credentials_are_generated:
        credentials = _credentials(values(live_credentials), generate)
        made.append(_secret(inputs, inputs.names.credentials, Component.ENGINE, credentials))
    return made


def values(secret: Object | None) -> _Values:
    """The decoded values of the operator's keys in a Secret, without empty ones and without those that are no text."""
    return {key: value for key in _KEYS if (value := secret_text(secret, key))}


def unreadable(secret: Object | None) -> list[str]:
    """The operator's keys in a Secret whose values are no text, so that no container can have them."""
    return [key for key in _KEYS if secret_text(secret, key) is None]


def lost(secret: Object | None, of: Iterable[str], *, volumes: int) -> list[str]:
    """The keys `of` a generated Secret that are gone, and which a volume has. One without any key asks for all anew.

    A standby with another password of replication than its primary set would not be let in.
    """
    is_empty, of_standbys = not values(secret), (InternalKey.DB_REPLICATION_PASSWORD,) if volumes > 1 else ()
    keys = (*VOLUME_KEYS, *of_standbys) if volumes else ()
    return [key for key in keys if key in of and secret_text(secret, key) == "" and not is_empty]


def fingerprints(internal: Object, credentials: Object | None) -> Fingerprints:
    """The fingerprints of the passwords in the two Secrets; those of database and cache are empty while a user's
    Secret lacks the password.

    The key of the hash is a password that is always long and random, so that nobody can guess a short password from
    its fingerprint. Raises KeyError when the internal Secret lacks a value.
    """
    mine, given = values(internal), values(credentials)
    database, cache = given.get(CredentialKey.DB_PASSWORD), given.get(CredentialKey.REDIS_PASSWORD)

    def fingerprint(*secret: str, key: InternalKey = InternalKey.DB_SUPERUSER_PASSWORD) -> str:
        return hmac.new(mine[key].encode(), "\0".join(secret).encode(), hashlib.sha256).hexdigest()[:16]

    def by_peer(password: str | None) -> str:
        return fingerprint(password, key=InternalKey.PEER_SECRET) if password else ""

    # Pods of before the second key are not replaced for one that they do not have.
    first = (given.get(name, "") for name in CredentialKey if name is not CredentialKey.JWT_SECRET_STANDBY)
    engine = (*first, mine[InternalKey.PEER_SECRET])
    of_roles = [mine[name] for name in _DATABASE_KEYS]
    return Fingerprints(
        engine=fingerprint(*engine),
        engine_with_standby=fingerprint(*engine, given.get(CredentialKey.JWT_SECRET_STANDBY, "")),
        database=fingerprint(*of_roles, database) if database else "",
        cache=fingerprint(cache) if cache else "",
        database_engine=fingerprint(CredentialKey.DB_PASSWORD, database) if database else "",
        database_internal=fingerprint(*of_roles),
        database_engine_by_peer=by_peer(database),
        cache_by_peer=by_peer(cache),
    )


_KEYS = (*(key.value for key in (*InternalKey, *CredentialKey)), ADMIN_PASSWORD)
_VOLUME_KEYS_OF_ROLES = (
    InternalKey.DB_SUPERUSER_PASSWORD,
    InternalKey.DB_OPERATOR_PASSWORD,
    InternalKey.DB_MIGRATOR_PASSWORD,
)
_DATABASE_KEYS = (
    *_VOLUME_KEYS_OF_ROLES,
    InternalKey.DB_REPLICATION_PASSWORD,
    InternalKey.PATRONI_RESTAPI_PASSWORD,
)


# Which the database keeps in its volume, and whoever connects has from elsewhere.
VOLUME_KEYS = (*_VOLUME_KEYS_OF_ROLES, CredentialKey.DB_PASSWORD)


def _internal(kept: _Values, generate: Callable[[str], str]) -> _Values:
    return {key.value: kept.get(key) or generate(key) for key in InternalKey}


def _credentials(kept: _Values, generate: Callable[[str], str]) -> _Values:
    made = {
        key.value: kept.get(key) or generate(key)
        for key in (
            CredentialKey.DB_PASSWORD,
            CredentialKey.REDIS_PASSWORD,
            CredentialKey.JWT_SECRET,
            CredentialKey.JWT_SECRET_STANDBY,
        )
    }
    made[CredentialKey.DB_USER.value] = DatabaseRole.ENGINE.value
    # A user may delete the password after reading it: while the hash exists, it is not generated again.
    password = kept.get(ADMIN_PASSWORD)
    if CredentialKey.ADMIN_PASSWORD_HASH not in kept:
        password = password or generate(ADMIN_PASSWORD)
        salt = generate(CredentialKey.ADMIN_PASSWORD_HASH).encode()
        kept = {**kept, CredentialKey.ADMIN_PASSWORD_HASH.value: _argon2id(password, salt)}
    made[CredentialKey.ADMIN_PASSWORD_HASH.value] = kept[CredentialKey.ADMIN_PASSWORD_HASH]
    return {**made, ADMIN_PASSWORD: password} if password else made


def _argon2id(password: str, salt: bytes) -> str:
    """The argon2id hash as a PHC string, with RFC 9106's second recommended parameters: 64 MiB, 3 passes."""
    hashed = argon2.low_level.hash_secret(
        password.encode(), salt[:16], time_cost=3, memory_cost=65536, parallelism=4, hash_len=32, type=argon2.Type.ID
    )
    return hashed.decode()


def _secret(inputs: BuildInput, name: str, component: Component, content: _Values) -> Object:
    is_kept = inputs.spec.deletion_policy is DeletionPolicy.RETAIN
    return render(
        "credentials-secret",
        name=name,
        namespace=inputs.namespace,
        labels=inputs.names.labels(component),
        kept=KEPT if is_kept else {},
        owners=inputs.owners,
        data={key: base64.b64encode(value.encode()).decode() for key, value in sorted(content.items())},
    )
