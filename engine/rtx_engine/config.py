"""Settings, read from the environment at start (docs/architecture.md lists the variables)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

E = TypeVar("E", bound=StrEnum)

MIN_KEY_BYTES = 32  # RFC 7518: a key for HS256 is at least as long as the hash
# To the database, of one pod: one reads, the others write. Two are what every release before DB_CONNECTIONS opened.
MIN_CONNECTIONS, MAX_CONNECTIONS = 2, 8
COLOUR_PLACEHOLDER = "{colour}"  # in PEER_SERVICE; replaced by the colour


class SettingsError(ValueError):
    """Variables are missing or not valid; the message has one sentence for each."""


class Colour(StrEnum):
    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Colour":
        """Green for blue, blue for green."""
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


class ExecutionMode(StrEnum):
    A_BOOK = "ABOOK"
    B_BOOK = "BBOOK"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True, repr=False)  # no repr: it would log the password
class Database:
    """Address and credentials of PostgreSQL. A `host` that begins with / is the folder of a Unix socket."""

    host: str
    port: int
    name: str
    user: str
    password: str


@dataclass(frozen=True, slots=True, repr=False)
class Redis:
    host: str
    port: int
    password: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The settings of `rtx-engine serve`."""

    broker_name: str
    price_feed: str
    execution_mode: ExecutionMode
    environment: str
    colour: Colour
    revision: str  # of the release, which the fence may name besides the colour; empty outside of Kubernetes
    pod_name: str
    port: int
    metrics_port: int
    log_level: LogLevel
    database: Database
    database_connections: int
    redis: Redis
    jwt_secret: str
    admin_password_hash: str
    peer_secret: str
    peer_service: str | None  # host of a colour's Service, with COLOUR_PLACEHOLDER; None: forwarding is off
    oanda_api_key: str | None
    oanda_account_id: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises SettingsError, with one sentence for each variable that is missing or not valid."""
        read = _EnvironmentReader(environment)
        settings = cls(
            broker_name=read.text("BROKER_NAME", "RTX Trading"),
            price_feed=read.text("PRICE_FEED_LP", "OANDA"),
            execution_mode=read.choice("EXECUTION_MODE", ExecutionMode, ExecutionMode.B_BOOK),
            environment=read.text("ENVIRONMENT", "production"),
            colour=read.choice("COLOUR", Colour),
            revision=environment.get("REVISION", ""),
            pod_name=read.text("POD_NAME", "local"),
            port=read.port("PORT", 7999),
            metrics_port=read.port("METRICS_PORT", 9090),
            log_level=read.choice("LOG_LEVEL", LogLevel, LogLevel.INFO),
            database=read.database("rtx_engine"),
            database_connections=read.number("DB_CONNECTIONS", MIN_CONNECTIONS, MIN_CONNECTIONS, MAX_CONNECTIONS),
            redis=Redis(read.text("REDIS_HOST"), read.port("REDIS_PORT", 6379), environment.get("REDIS_PASSWORD")),
            jwt_secret=read.key("JWT_SECRET"),
            admin_password_hash=read.text("ADMIN_PASSWORD_HASH"),
            peer_secret=read.text("PEER_SECRET"),
            peer_service=read.service("PEER_SERVICE"),
            oanda_api_key=environment.get("OANDA_API_KEY"),
            oanda_account_id=environment.get("OANDA_ACCOUNT_ID"),
        )
        read.check()
        return settings


@dataclass(frozen=True, slots=True, repr=False)
class MigrationSettings:
    """The settings of `rtx-engine migrate`."""

    database: Database
    log_level: LogLevel

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "MigrationSettings":
        """Raises SettingsError, with one sentence for each variable that is missing or not valid."""
        read = _EnvironmentReader(environment)
        settings = cls(read.database("rtx_migrator"), read.choice("LOG_LEVEL", LogLevel, LogLevel.INFO))
        read.check()
        return settings


class _EnvironmentReader:
    """Reads variables and collects their problems, to report all of them at once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environment.get(name) or default
        if value is None:
            self._problems.append(f"{name} is not set; set it in the environment.")
            return ""
        return value

    def key(self, name: str) -> str:
        value = self.text(name)
        if value and len(value.encode()) < MIN_KEY_BYTES:
            self._problems.append(
                f"{name} is {len(value.encode())} bytes long; it must have at least {MIN_KEY_BYTES} random bytes."
            )
        return value

    def service(self, name: str) -> str | None:
        value = self._environment.get(name) or None
        if value is not None and not (COLOUR_PLACEHOLDER in value and value.isascii() and value.isprintable()):
            self._problems.append(f"{name} is {value!r}; it must be a host name that contains {COLOUR_PLACEHOLDER}.")
        return value

    def port(self, name: str, default: int) -> int:
        return self.number(name, default, 1, 65535, "a port number")

    def number(self, name: str, default: int, minimum: int, maximum: int, what: str = "a number") -> int:
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit() and len(value) < 10 and minimum <= int(value) <= maximum):
            self._problems.append(f"{name} is {value!r}; it must be {what} from {minimum} to {maximum}.")
            return default
        return int(value)

    def choice(self, name: str, choices: type[E], default: E | None = None) -> E:
        value = self.text(name, default)
        for choice in choices:
            if value.lower() == choice.value.lower():
                return choice
        if value:
            self._problems.append(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
        return next(iter(choices))

    def database(self, default_user: str) -> Database:
        return Database(
            host=self.text("DB_HOST"),
            port=self.port("DB_PORT", 5432),
            name=self.text("DB_NAME", "trading_engine"),
            user=self.text("DB_USER", default_user),
            password=self.text("DB_PASSWORD"),
        )

    def check(self) -> None:
        if self._problems:
            raise SettingsError(" ".join(self._problems))
