"""The certificates by which pgBackRest's servers and clients know each other: a CA for each engine.

Two parties, so that each pod has only the key that it needs: a repository lets in the party of the database, a database
that of the backups. Keys are Ed25519 and derived from a seed, so the same input makes the same certificates.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME = timedelta(days=3650)
LIFETIME = timedelta(days=365)
RENEWED_BEFORE_END = 1 / 3  # of its lifetime: months in which a person can find out why it is not renewed
CLOCK_SKEW = timedelta(hours=1)  # a node's clock may be behind the operator's


class Party(StrEnum):
    """Whom a certificate is for: its common name, which pgBackRest's servers are configured with."""

    DATABASE = "database"  # the pods of PostgreSQL
    BACKUP = "backup"  # the repository, and the Jobs that make backups


class TlsKey(StrEnum):
    """Keys of the Secret."""

    CA = "ca.crt"
    CA_KEY = "ca.key"
    DATABASE = "database.crt"
    DATABASE_KEY = "database.key"
    BACKUP = "backup.crt"
    BACKUP_KEY = "backup.key"


_OF_PARTY = {
    Party.DATABASE: (TlsKey.DATABASE, TlsKey.DATABASE_KEY),
    Party.BACKUP: (TlsKey.BACKUP, TlsKey.BACKUP_KEY),
}


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: Ed25519PrivateKey

    def pem(self) -> tuple[str, str]:
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode(), key.decode()


def certificates(
    live: Mapping[str, str], hosts: Mapping[Party, Sequence[str]], seed: bytes, now: datetime
) -> dict[str, str]:
    """The values of all TlsKeys: those of `live` that are still good, the others anew.

    `hosts` are the names under which each party is called. A certificate is made anew near its end, and when its names
    are others; all are, when the CA is. `seed` is at least 32 bytes from a cryptographic source.
    """
    authority = _read(live, TlsKey.CA, TlsKey.CA_KEY)
    if authority is None or not _is_fresh(authority.certificate, now):
        authority, live = _authority(_key(seed, TlsKey.CA_KEY), now), {}
    made = dict(zip((TlsKey.CA.value, TlsKey.CA_KEY.value), authority.pem(), strict=True))
    for party, keys in _OF_PARTY.items():
        pair = _read(live, *keys)
        if pair is None or not (_is_fresh(pair.certificate, now) and _is_as_asked(pair, authority, hosts[party])):
            pair = _issued(authority, party, hosts[party], _key(seed, keys[1]), now)
        made |= dict(zip((key.value for key in keys), pair.pem(), strict=True))
    return made


def _key(seed: bytes, name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hmac.new(seed, name.encode(), hashlib.sha256).digest())


def _read(values: Mapping[str, str], certificate: TlsKey, key: TlsKey) -> _Pair | None:
    """None also for what somebody has replaced by something that is no pair of ours."""
    try:
        found = x509.load_pem_x509_certificate(values[certificate].encode())
        private = serialization.load_pem_private_key(values[key].encode(), password=None)
    except (KeyError, ValueError):
        return None
    if not isinstance(private, Ed25519PrivateKey) or private.public_key() != found.public_key():
        return None
    return _Pair(found, private)


def _is_fresh(certificate: x509.Certificate, now: datetime) -> bool:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin <= now < end - (end - begin) * RENEWED_BEFORE_END


def _is_as_asked(pair: _Pair, authority: _Pair, hosts: Sequence[str]) -> bool:
    try:
        pair.certificate.verify_directly_issued_by(authority.certificate)
        names = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return names.get_values_for_type(x509.DNSName) == list(hosts)


def _authority(key: Ed25519PrivateKey, now: datetime) -> _Pair:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rtx-backup-ca")])
    usage = _usage(key_cert_sign=True, crl_sign=True)
    builder = (
        _certificate(name, name, key, now, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return _Pair(builder.sign(key, None), key)


def _issued(authority: _Pair, party: Party, hosts: Sequence[str], key: Ed25519PrivateKey, now: datetime) -> _Pair:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party.value)])
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _certificate(name, authority.certificate.subject, key, now, LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(both, critical=False)
        .add_extension(of_authority, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
    )
    return _Pair(builder.sign(authority.key, None), key)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    public = key.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    serial = int.from_bytes(hashlib.sha256(raw + now.isoformat().encode()).digest()[:19])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
