"""Settings, read from the environment at start (docs/architecture.md lists the variables)."""

import hashlib
import hmac
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import argon2

from rtx_engine.domain import grammar

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

MIN_KEY_BYTES = 32  # RFC 7518: a key for HS256 is at least as long as the hash
# To the database, of one pod: one reads, the others write. One more watches the fence.
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
    """Only what this release does: an engine told to do more must not start and do less."""

    B_BOOK = "BBOOK"


class PriceFeed(StrEnum):
    """Likewise."""

    SIMULATED = "SIMULATED"


class Environment(StrEnum):
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


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
    """Where Redis is; with `sentinels` that answer, the master that they name. One password is that of all."""

    host: str
    port: int
    password: str | None
    sentinels: tuple[tuple[str, int], ...] = ()  # host and port


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The settings of `rtx-engine serve`."""

    broker_name: str
    price_feed: PriceFeed
    execution_mode: ExecutionMode
    environment: Environment  # in the log; changes nothing else
    colour: Colour
    revision: str  # of the release, which the fence may name besides the colour; empty outside of Kubernetes
    owner: str  # namespace/name of the TradingEngine whose database it must be; empty: not checked
    pod_name: str
    port: int
    metrics_port: int
    log_level: LogLevel
    database: Database
    database_connections: int
    redis: Redis
    jwt_secrets: tuple[str, ...]  # the first signs tokens; those of the second, if there is one, are valid too
    admin_password_hash: str
    peer_secret: str
    peer_service: str | None  # host of a colour's Service, with COLOUR_PLACEHOLDER; None: forwarding is off
    max_connections: int | None  # None: the default of api/limits.py, or what the process may open if that is less
    max_connections_per_address: int
    trusted_proxies: tuple[Network, ...]  # whose x-forwarded-for names the client

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises SettingsError, with one sentence for each variable that is missing or not valid."""
        read = _EnvironmentReader(environment)
        settings = cls(
            broker_name=read.text("BROKER_NAME", "RTX Trading"),
            price_feed=read.choice("PRICE_FEED_LP", PriceFeed, PriceFeed.SIMULATED),
            execution_mode=read.choice("EXECUTION_MODE", ExecutionMode, ExecutionMode.B_BOOK),
            environment=read.choice("ENVIRONMENT", Environment, Environment.PRODUCTION),
            colour=read.choice("COLOUR", Colour),
            revision=environment.get("REVISION", ""),
            owner=environment.get("DATABASE_OWNER", ""),
            pod_name=read.text("POD_NAME", "local"),
            port=read.port("PORT", 7999),
            metrics_port=read.port("METRICS_PORT", 9090),
            log_level=read.choice("LOG_LEVEL", LogLevel, LogLevel.INFO),
            database=read.database("rtx_engine"),
            database_connections=read.number(
                "DB_CONNECTIONS", MIN_CONNECTIONS, minimum=MIN_CONNECTIONS, maximum=MAX_CONNECTIONS
            ),
            redis=Redis(
                read.text("REDIS_HOST"),
                read.port("REDIS_PORT", 6379),
                environment.get("REDIS_PASSWORD"),
                read.addresses("REDIS_SENTINELS", 26379),
            ),
            jwt_secrets=read.keys("JWT_SECRET", "JWT_SECRET_STANDBY"),
            admin_password_hash=read.password_hash("ADMIN_PASSWORD_HASH"),
            peer_secret=read.text("PEER_SECRET"),
            peer_service=read.service("PEER_SERVICE"),
            max_connections=read.number("MAX_CONNECTIONS", None, minimum=100, maximum=1_000_000),
            max_connections_per_address=read.number("MAX_CONNECTIONS_PER_ADDRESS", 2048, minimum=10, maximum=1_000_000),
            trusted_proxies=read.networks("TRUSTED_PROXIES"),
        )
        read.refuse("OANDA_API_KEY", "OANDA_ACCOUNT_ID")
        read.check()
        return settings

    @property
    def simulator_seed(self) -> str:
        """Of the simulated prices: a secret, since whoever knows it knows tomorrow's prices; the same in all pods."""
        return hmac.new(self.peer_secret.encode(), b"simulated prices", hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True, repr=False)
class MigrationSettings:
    """The settings of `rtx-engine migrate`."""

    database: Database
    owner: str  # as above
    log_level: LogLevel

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "MigrationSettings":
        """Raises SettingsError, with one sentence for each variable that is missing or not valid."""
        read = _EnvironmentReader(environment)
        settings = cls(
            database=read.database("rtx_migrator"),
            owner=environment.get("DATABASE_OWNER", ""),
            log_level=read.choice("LOG_LEVEL", LogLevel, LogLevel.INFO),
        )
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

    def keys(self, name: str, optional: str) -> tuple[str, ...]:
        """The key `name`, and then that called `optional` if it is set."""
        values = {name: self.text(name)}
        if second := self._environment.get(optional):
            values[optional] = second
        for each, value in values.items():
            if value and len(value.encode()) < MIN_KEY_BYTES:
                self._problems.append(
                    f"{each} is {len(value.encode())} bytes long; it must have at least {MIN_KEY_BYTES} random bytes."
                )
        return tuple(values.values())

    def service(self, name: str) -> str | None:
        value = self._environment.get(name) or None
        if value is not None and not (COLOUR_PLACEHOLDER in value and value.isascii() and value.isprintable()):
            self._problems.append(f"{name} is {value!r}; it must be a host name that contains {COLOUR_PLACEHOLDER}.")
        return value

    def port(self, name: str, default: int) -> int:
        return self.number(name, default, minimum=1, maximum=65535, what="a port number")

    def password_hash(self, name: str) -> str:
        value = self.text(name)
        try:
            if value:
                argon2.extract_parameters(value)
        except ValueError:  # also argon2's InvalidHashError
            self._problems.append(
                f"{name} is not a hash in argon2's PHC format, like $argon2id$v=19$…: nobody could log in."
            )
        return value

    def number(self, name: str, default: T, *, minimum: int, maximum: int, what: str = "a whole number") -> int | T:
        value = self._environment.get(name)
        if not value:
            return default
        try:
            return grammar.whole_number(value, minimum=minimum, maximum=maximum)
        except grammar.GrammarError:
            self._problems.append(f"{name} is {value!r}; it must be {what} from {minimum} to {maximum}.")
            return default

    def networks(self, name: str) -> tuple[Network, ...]:
        value = self._environment.get(name, "")
        try:
            return tuple(ipaddress.ip_network(one.strip()) for one in value.split(",") if one.strip())
        except ValueError:
            self._problems.append(f"{name} is {value!r}; it must be networks like 10.0.0.0/8, separated by commas.")
            return ()

    def addresses(self, name: str, default_port: int) -> tuple[tuple[str, int], ...]:
        """Host and port of each; none if the variable is not set."""
        found: list[tuple[str, int]] = []
        for one in filter(None, (part.strip() for part in self._environment.get(name, "").split(","))):
            host, _, port = one.partition(":")
            try:
                number = grammar.whole_number(port, minimum=1, maximum=65535) if port else default_port
            except grammar.GrammarError:
                number = 0
            if not (host and number):
                self._problems.append(f"{name} has {one!r}; it must be hosts, or host:port, separated by commas.")
            found.append((host, number))
        return tuple(found)

    def refuse(self, *names: str) -> None:
        """Refuse variables that ask for what this release does not do."""
        for name in names:
            if self._environment.get(name):
                self._problems.append(
                    f"{name} is set, but this release takes its prices from the simulator; remove it."
                )

    def choice(self, name: str, choices: type[E], default: E | None = None) -> E:
        value = self.text(name, default)
        for choice in choices:
            if value.lower() == choice.value.lower():
                return choice
        if value:
            allowed = f"one of {', '.join(choices)}" if len(choices) > 1 else f"{next(iter(choices))} in this release"
            self._problems.append(f"{name} is {value!r}; it must be {allowed}.")
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
