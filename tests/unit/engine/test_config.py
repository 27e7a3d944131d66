"""Settings from the environment; all problems are reported at once."""

import pytest
from rtx_engine.config import Colour, ExecutionMode, LogLevel, MigrationSettings, Settings, SettingsError

ENOUGH = {
    "COLOUR": "green",
    "DB_HOST": "rtx-postgres",
    "DB_PASSWORD": "secret",
    "REDIS_HOST": "rtx-redis",
    "JWT_SECRET": "a secret of thirty-two bytes, yes",
    "ADMIN_PASSWORD_HASH": "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$5uNYSDmw2nvWpUu8zJBBdQ",
    "PEER_SECRET": "secret",
}


def test_optional_variables_have_the_documented_defaults():
    settings = Settings.from_environment(ENOUGH)
    assert (settings.port, settings.metrics_port, settings.log_level) == (7999, 9090, LogLevel.INFO)
    assert (settings.colour, settings.execution_mode) == (Colour.GREEN, ExecutionMode.B_BOOK)
    assert settings.peer_service is None
    assert settings.redis.sentinels == ()
    database = settings.database
    assert (database.port, database.name, database.user) == (5432, "trading_engine", "rtx_engine")
    assert MigrationSettings.from_environment(ENOUGH).database.user == "rtx_migrator"


def test_sentinels_are_hosts_with_their_ports():
    settings = Settings.from_environment(ENOUGH | {"REDIS_SENTINELS": "redis-0.redis, redis-1.redis:15002"})
    assert settings.redis.sentinels == (("redis-0.redis", 26379), ("redis-1.redis", 15002))


@pytest.mark.parametrize("name", ENOUGH)
def test_missing_variable_is_named(name):
    with pytest.raises(SettingsError) as problem:
        Settings.from_environment(ENOUGH | {name: ""})
    assert str(problem.value) == f"{name} is not set; set it in the environment."


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "0", "PORT is '0'; it must be a port number from 1 to 65535."),
        ("DB_PORT", "65536", "DB_PORT is '65536'; it must be a port number from 1 to 65535."),
        ("REDIS_PORT", "a", "REDIS_PORT is 'a'; it must be a port number from 1 to 65535."),
        (
            "REDIS_SENTINELS",
            "a,b:x",
            "REDIS_SENTINELS has 'b:x'; it must be hosts, or host:port, separated by commas.",
        ),
        ("JWT_SECRET", "x" * 31, "JWT_SECRET is 31 bytes long; it must have at least 32 random bytes."),
        (
            "PEER_SERVICE",
            "rtx-engine",
            "PEER_SERVICE is 'rtx-engine'; it must be a host name that contains {colour}.",
        ),
        ("COLOUR", "red", "COLOUR is 'red'; it must be one of blue, green."),
        ("EXECUTION_MODE", "ABOOK", "EXECUTION_MODE is 'ABOOK'; it must be BBOOK in this release."),
        ("PRICE_FEED_LP", "OANDA", "PRICE_FEED_LP is 'OANDA'; it must be SIMULATED in this release."),
        ("ENVIRONMENT", "test", "ENVIRONMENT is 'test'; it must be one of development, staging, production."),
        (
            "OANDA_API_KEY",
            "key",
            "OANDA_API_KEY is set, but this release takes its prices from the simulator; remove it.",
        ),
        (
            "ADMIN_PASSWORD_HASH",
            "$2b$12$bcrypt",
            "ADMIN_PASSWORD_HASH is not a hash in argon2's PHC format, like $argon2id$v=19$…: nobody could log in.",
        ),
        ("MAX_CONNECTIONS", "0x10", "MAX_CONNECTIONS is '0x10'; it must be a whole number from 100 to 1000000."),
        (
            "MAX_CONNECTIONS_PER_ADDRESS",
            "1",
            "MAX_CONNECTIONS_PER_ADDRESS is '1'; it must be a whole number from 10 to 1000000.",
        ),
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/8, proxy",
            "TRUSTED_PROXIES is '10.0.0.0/8, proxy'; it must be networks like 10.0.0.0/8, separated by commas.",
        ),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud'; it must be one of DEBUG, INFO, WARNING, ERROR."),
    ],
)
def test_wrong_value_is_reported_with_the_expected_one(name, value, sentence):
    with pytest.raises(SettingsError) as problem:
        Settings.from_environment(ENOUGH | {name: value})
    assert str(problem.value) == sentence


def test_all_problems_are_reported_at_once():
    with pytest.raises(SettingsError) as problem:
        Settings.from_environment({})
    assert all(name in str(problem.value) for name in ENOUGH)


def test_trusted_proxies_are_networks():
    read = Settings.from_environment(ENOUGH | {"TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8"}).trusted_proxies
    assert [str(network) for network in read] == ["10.0.0.0/8", "fd00::/8"]


def test_seed_of_the_simulator_is_the_same_in_all_pods_and_follows_from_nothing_public():
    blue = Settings.from_environment(ENOUGH | {"COLOUR": "blue", "POD_NAME": "one"})
    green = Settings.from_environment(ENOUGH | {"COLOUR": "green", "POD_NAME": "two"})
    other = Settings.from_environment(ENOUGH | {"PEER_SECRET": "another secret"})
    assert blue.simulator_seed == green.simulator_seed
    assert other.broker_name == blue.broker_name
    assert other.simulator_seed != blue.simulator_seed


def test_passwords_are_not_shown():
    assert "secret" not in repr(Settings.from_environment(ENOUGH))
