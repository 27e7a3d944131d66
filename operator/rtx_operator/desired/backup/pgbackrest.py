"""pgBackRest's configuration: of the database pods, and of the repository with the Jobs that make backups.

Both name each other: a database pod sends its log to the repository, a Job reads the database's files. What is secret
is no part of it: `rtx-pgbackrest` (database/) takes that from mounted files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtx_operator.desired.backup.certificates import Party

STANZA = "main"  # each engine has a repository of its own
PORT = 8432  # of pgBackRest's servers
FOLDER = "/etc/rtx-backup"  # of the configuration, the certificates and the secrets, in every container that needs them
CONFIGURATION = "pgbackrest.conf"
PLACE = "place"  # the file, and the key of the ConfigMap, that tells one repository from another
REPOSITORY_FOLDER = "/repository"
DATA_FOLDER = "/pgdata/data"
SOCKET_FOLDER = "/run/postgresql"
# For which a backup waits for its log. After three failures, as before the first backup, PostgreSQL waits a minute.
ARCHIVE_TIMEOUT_SECONDS = 150

_Section = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Volume:
    """A repository on a volume, which the pod `host` serves."""

    host: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """A repository in a bucket. `port` is 443 unless its store listens elsewhere."""

    name: str
    host: str
    port: int
    region: str
    uri_style: str  # path or host
    has_own_ca: bool


@dataclass(frozen=True, slots=True)
class Setup:
    """What the configuration follows from. `database_hosts` are the pods of PostgreSQL."""

    database_hosts: Sequence[str]
    store: Volume | Bucket
    folder: str  # of this database in the repository
    retention_days: int
    queue_max_bytes: int  # of log that the repository does not take; beyond it PostgreSQL drops log, and goes on


def of_database(setup: Setup) -> str:
    """The configuration of the database pods: where the log goes, and the server that reads the files for a Job."""
    return _text(
        {
            "global": {
                **_COMMON,
                **_asked(setup),
                "lock-path": f"{SOCKET_FOLDER}/pgbackrest",
                "archive-push-queue-max": setup.queue_max_bytes,
                **_server(Party.BACKUP),
            },
            STANZA: {f"pg1-{key}": value for key, value in _DATABASE.items()},
        }
    )


def of_repository(setup: Setup) -> str:
    """The configuration of the repository's server and of the Jobs, which have the volume too."""
    databases = {
        key: value
        for number, host in enumerate(setup.database_hosts, start=1)
        for key, value in (
            *_host(f"pg{number}-host", host).items(),
            *((f"pg{number}-{key}", value) for key, value in _DATABASE.items()),
        )
    }
    return _text(
        {
            "global": {
                **_COMMON,
                **_opened(setup),
                "repo1-bundle": "y",
                "repo1-retention-full-type": "time",
                "repo1-retention-full": setup.retention_days,
                "lock-path": "/tmp/pgbackrest",  # noqa: S108 - an emptyDir of the pod
                "start-fast": "y",
                "archive-timeout": ARCHIVE_TIMEOUT_SECONDS,
                **({"backup-standby": "prefer"} if len(setup.database_hosts) > 1 else {}),
                **_server(Party.DATABASE),
            },
            STANZA: databases,
        }
    )


def _asked(setup: Setup) -> _Section:
    """The repository for a database pod. The server of a volume takes the folder from who asks: its own configuration
    may be older, as the kubelet renews it in a minute.
    """
    if isinstance(setup.store, Volume):
        return {**_host("repo1-host", setup.store.host), "repo1-path": folder_of(setup.store, setup.folder)}
    return _opened(setup)


def folder_of(store: Volume | Bucket, folder: str) -> str:
    """The path of a database's folder in the repository."""
    return f"{REPOSITORY_FOLDER}/{folder}" if isinstance(store, Volume) else f"/{folder}"


def _opened(setup: Setup) -> _Section:
    """The repository for whoever opens it; others ask the server that does."""
    encrypted: _Section = {"repo1-cipher-type": "aes-256-cbc"}
    store = setup.store
    if isinstance(store, Volume):
        return {"repo1-path": folder_of(store, setup.folder), **encrypted}
    return {
        "repo1-type": "s3",
        "repo1-path": folder_of(store, setup.folder),
        "repo1-s3-bucket": store.name,
        "repo1-s3-endpoint": store.host,
        "repo1-storage-port": store.port,
        "repo1-s3-region": store.region,
        "repo1-s3-uri-style": store.uri_style,
        **({"repo1-storage-ca-file": f"{FOLDER}/store/ca.crt"} if store.has_own_ca else {}),
        **encrypted,
    }


_COMMON: _Section = {
    "compress-type": "zst",
    "process-max": 2,
    "log-level-console": "warn",
    "log-level-file": "off",
    "log-level-stderr": "off",
}
_DATABASE: _Section = {"path": DATA_FOLDER, "socket-path": SOCKET_FOLDER, "user": "postgres"}


def _host(option: str, host: str) -> _Section:
    return {
        option: host,
        f"{option}-type": "tls",
        f"{option}-port": PORT,
        f"{option}-config": f"{FOLDER}/{CONFIGURATION}",
        f"{option}-ca-file": f"{FOLDER}/tls/ca.crt",
        f"{option}-cert-file": f"{FOLDER}/tls/tls.crt",
        f"{option}-key-file": f"{FOLDER}/tls/tls.key",
    }


def _server(lets_in: Party) -> _Section:
    return {
        "tls-server-address": "*",
        "tls-server-port": PORT,
        "tls-server-ca-file": f"{FOLDER}/tls/ca.crt",
        "tls-server-cert-file": f"{FOLDER}/tls/tls.crt",
        "tls-server-key-file": f"{FOLDER}/tls/tls.key",
        "tls-server-auth": f"{lets_in}={STANZA}",
    }


def _text(sections: Mapping[str, _Section]) -> str:
    blocks = ("".join([f"[{name}]\n", *_lines(options)]) for name, options in sections.items())
    return "\n".join(blocks)


def _lines(options: _Section) -> Sequence[str]:
    return [f"{key}={value}\n" for key, value in options.items()]
