"""spec.source of a TradingEngineRestore: what is restored."""

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import ApiModel, ObjectName, Time, matches, rule, rules

_TARGETS = "[has(self.backup), has(self.time), has(self.lsn), has(self.newest)]"


class RestoreSource(ApiModel):
    """What is restored: exactly one of backup, time, lsn and newest."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"{_TARGETS}.filter(one, one).size() == 1",
                "must name exactly one of backup, time, lsn and newest",
            ),
            rule(
                "!has(self.folder) || !has(self.backup)",
                "folder must be absent with backup, which is in a folder of its own: take it out",
                ".folder",
            ),
        )
    )

    backup: ObjectName | None = Field(
        default=None,
        description="Name of a TradingEngineBackup that has succeeded, in the same namespace: the data as they were "
        "when it ended.",
    )
    time: Time | None = Field(
        default=None,
        description="All that was committed until this moment, such as 2026-11-27T14:04:59Z. From the end of the "
        "oldest backup to the last commit in the repository.",
    )
    lsn: str | None = Field(
        default=None,
        max_length=17,
        description="All up to this position of the database's log, such as 0/5000110.",
        json_schema_extra=rules(
            matches("^[0-9A-F]{1,8}/[0-9A-F]{1,8}$", "must be a position of the log, such as 0/5000110")
        ),
    )
    newest: bool | None = Field(
        default=None,
        description="true: all that is in the repository.",
        json_schema_extra=rules(rule("self", "must be true: name a backup, a time or an lsn instead")),
    )
    folder: str | None = Field(
        default=None,
        max_length=1024,
        description="Folder of the repository, as status.made.folder of a TradingEngineBackup names it. Each restore "
        "begins a folder; what was written before it is in the earlier ones. Unset: the folder of the backup, else the "
        "one that is written to now.",
        json_schema_extra=rules(
            matches("^(/[-A-Za-z0-9_.]+)+$", "must be a folder such as /repository/1a2b3c, as a backup's status has it")
        ),
    )
