from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from rtx_operator.desired.backup.certificates import LIFETIME, Party, TlsKey, certificates

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOSTS = {Party.DATABASE: ["rtx-postgres-0.rtx-postgres-headless.trading.svc"], Party.BACKUP: ["rtx-backup.trading.svc"]}
SEED, OTHER_SEED = bytes(range(32)), bytes(range(1, 33))


def of(values: dict[str, str], key: TlsKey) -> x509.Certificate:
    return x509.load_pem_x509_certificate(values[key].encode())


def test_each_party_has_a_certificate_of_the_authority_for_its_hosts() -> None:
    # when
    made = certificates({}, HOSTS, SEED, NOW)
    # then
    for party, key in ((Party.DATABASE, TlsKey.DATABASE), (Party.BACKUP, TlsKey.BACKUP)):
        certificate = of(made, key)
        certificate.verify_directly_issued_by(of(made, TlsKey.CA))
        assert certificate.subject.rfc4514_string() == f"CN={party}"
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == HOSTS[party]
    assert certificates({}, HOSTS, SEED, NOW) == made


def test_good_certificates_stay_whatever_the_seed() -> None:
    made = certificates({}, HOSTS, SEED, NOW)
    assert certificates(made, HOSTS, OTHER_SEED, NOW + timedelta(days=200)) == made


def test_certificates_near_their_end_are_renewed_and_the_authority_stays() -> None:
    # given
    made = certificates({}, HOSTS, SEED, NOW)
    # when
    renewed = certificates(made, HOSTS, OTHER_SEED, NOW + LIFETIME * 0.7)
    # then
    assert renewed[TlsKey.CA] == made[TlsKey.CA]
    assert of(renewed, TlsKey.DATABASE).not_valid_after_utc > NOW + LIFETIME
    assert of(renewed, TlsKey.BACKUP).not_valid_after_utc > NOW + LIFETIME


def test_another_host_renews_the_certificate_of_its_party_only() -> None:
    # given
    made = certificates({}, HOSTS, SEED, NOW)
    more = {**HOSTS, Party.DATABASE: [*HOSTS[Party.DATABASE], "rtx-postgres-1.rtx-postgres-headless.trading.svc"]}
    # when
    renewed = certificates(made, more, OTHER_SEED, NOW)
    # then
    assert {key for key in TlsKey if renewed[key] != made[key]} == {TlsKey.DATABASE, TlsKey.DATABASE_KEY}


def test_renewed_authority_renews_all() -> None:
    made = certificates({}, HOSTS, SEED, NOW)
    renewed = certificates(made, HOSTS, OTHER_SEED, NOW + timedelta(days=3000))
    assert all(renewed[key] != made[key] for key in TlsKey)


@pytest.mark.parametrize("broken", [TlsKey.DATABASE, TlsKey.DATABASE_KEY])
def test_what_is_no_certificate_of_the_authority_is_made_anew(broken: TlsKey) -> None:
    # given: somebody else's, or no certificate at all
    made, strange = certificates({}, HOSTS, SEED, NOW), certificates({}, HOSTS, OTHER_SEED, NOW)
    for value in (strange[broken], "none"):
        # when
        mended = certificates({**made, broken: value}, HOSTS, SEED, NOW)
        # then
        of(mended, TlsKey.DATABASE).verify_directly_issued_by(of(made, TlsKey.CA))
        assert mended[TlsKey.CA] == made[TlsKey.CA]
