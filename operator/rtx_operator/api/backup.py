"""TradingEngineBackup: one backup of an engine's database, made by the schedule or for whoever wants one now."""

from pydantic import ConfigDict, Field

from rtx_operator.api.enums import BackupKind, BackupPhase
from rtx_operator.api.schema import ApiModel, ObjectName, StatusModel, Time, rule, rules
from rtx_operator.api.status import OperationRecord

WAL_FILE_LENGTH = 24  # characters of the name of a file of the log


class TradingEngineBackupSpec(ApiModel):
    """What is to be backed up."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self == oldSelf", "spec cannot change: a backup is of one moment; create another TradingEngineBackup")
        )
    )

    engine: ObjectName = Field(description="Name of the TradingEngine, in the same namespace.")
    type: BackupKind = Field(
        default=BackupKind.INCREMENTAL,
        description="What it contains. Full: the whole database. Incremental: what has changed since the last backup; "
        "the first of all is full.",
    )


class BackupRepository(StatusModel):
    """All backups that were in the repository when this one ended."""

    count: int = Field(ge=0, description="How many there were.")
    oldest: Time = Field(description="When the oldest of them ended.")
    newest: Time = Field(description="When the newest of them ended.")
    stored_bytes: int = Field(ge=0, description="Bytes of all of them in the repository, without the log.")
    wal_start: str = Field(
        default="", max_length=WAL_FILE_LENGTH, description="First file of the database's log in it."
    )
    wal_stop: str = Field(default="", max_length=WAL_FILE_LENGTH, description="Last file of the database's log in it.")
    place: str = Field(
        default="",
        max_length=64,
        description="Which repository it is: another bucket, or another database, has another.",
    )


class MadeBackup(StatusModel):
    """The backup in the repository."""

    label: str = Field(max_length=64, description="Its name in pgBackRest's repository.")
    type: BackupKind = Field(description="What it contains: Full also where an incremental one was the first of all.")
    started_at: Time = Field(description="When pgBackRest began it, by the clock of its pod.")
    finished_at: Time = Field(description="When it ended, by the same clock.")
    bytes: int = Field(ge=0, description="Size of the database.")
    stored_bytes: int = Field(ge=0, description="Bytes that it added to the repository.")
    lsn_start: str = Field(max_length=20, description="Position in the log at which it began.")
    lsn_stop: str = Field(max_length=20, description="Position from which on it can be restored.")
    wal_start: str = Field(max_length=WAL_FILE_LENGTH, description="First file of the log that it needs.")
    wal_stop: str = Field(max_length=WAL_FILE_LENGTH, description="Last file of the log that it needs.")
    wal_verified: bool = Field(description="Whether these files and all between them were found in the repository.")
    has_errors: bool = Field(default=False, description="Whether pages of the database had wrong checksums.")
    folder: str = Field(default="", max_length=1024, description="Its folder in the repository.")


class TradingEngineBackupStatus(OperationRecord):
    """What became of the backup. A terminal phase never changes."""

    phase: BackupPhase = Field(description="Pending, Running, Succeeded or Failed.")
    job: str = Field(default="", max_length=63, description="The Job that makes it.")
    heartbeat: Time | None = Field(
        default=None, description="When the operator last observed that the Job's pod runs and makes progress."
    )
    ended_at: Time | None = Field(default=None, description="When it was over.")
    seconds: float | None = Field(default=None, ge=0, description="Seconds that the backup itself took.")
    made: MadeBackup | None = Field(default=None, description="The backup, once it is in the repository.")
    repository: BackupRepository | None = Field(default=None, description="What was in the repository then.")
