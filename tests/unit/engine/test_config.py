"""Settings from the environment; all problems are reported at once."""

import pytest
from rtx_engine.config import Colour, ExecutionMode, LogLevel, MigrationSettings, Settings, SettingsError

ENOUGH = {
    "COLOUR": "green",
    "DB_HOST": "rtx-postgres",
    "DB_PASSWORD": "secret",
    "REDIS_HOST": "rtx-redis",
    "JWT_SECRET": "a secret of thirty-two bytes, yes",
    "ADMIN_PASSWORD_HASH": "$argon2id$",
    "PEER_SECRET": "secret",
}


def test_optional_variables_have_the_documented_defaults():
    settings = Settings.from_environment(ENOUGH)
    assert (settings.port, settings.metrics_port, settings.log_level) == (7999, 9090, LogLevel.INFO)
    assert (settings.colour, settings.execution_mode) == (Colour.GREEN, ExecutionMode.B_BOOK)
    assert settings.peer_service is None
    database = settings.database
    assert (database.port, database.name, database.user) == (5432, "trading_engine", "rtx_engine")
    assert MigrationSettings.from_environment(ENOUGH).database.user == "rtx_migrator"


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
        ("JWT_SECRET", "x" * 31, "JWT_SECRET is 31 bytes long; it must have at least 32 random bytes."),
        (
            "PEER_SERVICE",
            "rtx-engine",
            "PEER_SERVICE is 'rtx-engine'; it must be a host name that contains {colour}.",
        ),
        ("COLOUR", "red", "COLOUR is 'red'; it must be one of blue, green."),
        ("EXECUTION_MODE", "C", "EXECUTION_MODE is 'C'; it must be one of ABOOK, BBOOK."),
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


def test_passwords_are_not_shown():
    assert "secret" not in repr(Settings.from_environment(ENOUGH))
