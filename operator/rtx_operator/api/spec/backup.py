"""spec.backup: backups of the database."""

from datetime import timedelta
from typing import Annotated

from pydantic import ConfigDict, Field

from rtx_operator.api.enums import BackupType
from rtx_operator.api.schema import ApiModel, Bytes, ObjectName, Span, matches, rule, rules
from rtx_operator.api.spec.resources import Resources

_CRON_FIELD = "[-A-Za-z0-9*/,]+"
_CRON = rules(
    matches(
        f"^{_CRON_FIELD}( {_CRON_FIELD}){{4}}$",
        "must be a schedule of five fields, such as '0 * * * *': minute, hour, day of month, month, day of week",
    ),
    maxLength=64,
)

_HAD_NO_VOLUME = "has(oldSelf.type) && oldSelf.type == 'None'"


class Backup(ApiModel):
    """Backups: full and incremental ones on a schedule, and the database's log without a gap between them."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.walRetentionDays <= self.retentionDays",
                "walRetentionDays must not be above retentionDays: without a backup, its log restores nothing",
                ".walRetentionDays",
            ),
            rule(
                f"{_HAD_NO_VOLUME} || has(self.storageClassName) == has(oldSelf.storageClassName) && "
                "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                "storageClassName cannot change after creation: set it back; a volume stays in its storage class",
                ".storageClassName",
            ),
            rule(
                f"{_HAD_NO_VOLUME} || has(self.storage) == has(oldSelf.storage) && (!has(self.storage) || "
                "!isQuantity(string(self.storage)) || "
                "quantity(string(self.storage)).compareTo(quantity(string(oldSelf.storage))) == 0)",
                "storage cannot change after creation: set it back; volumes do not grow in this release",
                ".storage",
            ),
        )
    )

    type: BackupType | None = Field(
        default=None,
        description="Where backups are kept. Volume: on a volume of their own in this cluster, which protects against "
        "damage to the data, and not against the loss of the cluster. None: nowhere; nothing is backed up. Unset: "
        "None in environment Development, otherwise Volume. An edit begins a maintenance of the database.",
    )
    schedule: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="When incremental backups begin, in UTC. Unset: each hour, at a minute that differs from engine to "
        "engine.",
        json_schema_extra=_CRON,
    )
    full_schedule: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="When full backups begin, in UTC. Unset: each night between 00:00 and 04:00, at a time that "
        "differs from engine to engine.",
        json_schema_extra=_CRON,
    )
    retention_days: int = Field(
        default=30, ge=1, le=3650, description="Days for which backups are kept. The last full backup always is."
    )
    wal_retention_days: int = Field(
        default=7,
        ge=1,
        le=3650,
        description="Days for which the database's log is kept, so that every moment of them can be restored.",
    )
    timeout: Annotated[timedelta, Span("1m", "24h")] = Field(
        default=timedelta(hours=6), description="Longest time for one backup. One that takes longer has failed."
    )
    max_age: Annotated[timedelta, Span("5m", "720h")] = Field(
        default=timedelta(hours=3),
        description="Age of the newest backup above which the condition BackupFresh is False. Longer than the pause "
        "between two backups of your schedule.",
    )
    storage: Bytes | None = Field(
        default=None,
        description="Size of the volume for backups in bytes, for example 200Gi. Unset: four times database.storage. "
        "Fixed at creation.",
    )
    storage_class_name: ObjectName | None = Field(
        default=None,
        description="Storage class of that volume. Unset: the cluster's default class. Fixed at creation.",
    )
    resources: Resources = Field(
        default=Resources(), description="CPU and memory of a backup's container. The next backup has them."
    )
