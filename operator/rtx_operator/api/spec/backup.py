"""spec.backup: backups of the database."""

from datetime import timedelta
from typing import Annotated

from pydantic import ConfigDict, Field

from rtx_operator.api.enums import BackupType, UriStyle
from rtx_operator.api.schema import ApiModel, Bytes, ObjectName, Span, matches, rule, rules
from rtx_operator.api.spec.container import TrustedCA
from rtx_operator.api.spec.pods import SecretRef
from rtx_operator.api.spec.resources import Resources

_CRON_FIELD = "[-A-Za-z0-9*/,]+"
_CRON = rules(
    matches(
        f"^{_CRON_FIELD}( {_CRON_FIELD}){{4}}$",
        "must be a schedule of five fields, such as '0 * * * *': minute, hour, day of month, month, day of week",
    ),
    maxLength=64,
)

_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"  # 1 to 65535
_ENDPOINT = f"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:{_PORT})?"


class S3(ApiModel):
    """A bucket for backups. Its address is HTTPS."""

    bucket: str = Field(
        max_length=63,
        description="Name of the bucket.",
        json_schema_extra=rules(matches("^[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]$", "must be the name of a bucket")),
    )
    endpoint: str = Field(
        max_length=260,
        description="Host of the store, with its port unless that is 443, for example s3.eu-central-1.amazonaws.com.",
        json_schema_extra=rules(
            matches(f"^{_ENDPOINT}$", "must be a host such as s3.example.com or s3.example.com:9000, without https://")
        ),
    )
    region: str = Field(
        default="us-east-1",
        max_length=63,
        description="Region of the bucket.",
        json_schema_extra=rules(matches("^[-a-z0-9]+$", "must be a region such as eu-central-1")),
    )
    path: str | None = Field(
        default=None,
        max_length=255,
        description="Folder in the bucket. Unset: the bucket itself. Backups are in NAMESPACE/NAME in it, so engines "
        "may share a bucket.",
        json_schema_extra=rules(
            matches("^[-A-Za-z0-9_.]+(/[-A-Za-z0-9_.]+)*$", "must be a path such as brokers/rtx, with no / at its ends")
        ),
    )
    uri_style: UriStyle = Field(
        default=UriStyle.PATH,
        description="Where the bucket's name stands in addresses. Path: after the host, as most stores other than "
        "Amazon's want it. Host: before it.",
    )
    credentials_secret_ref: SecretRef = Field(
        description="Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and BACKUP_PASSPHRASE, which encrypts the "
        "backups. Keep a copy of it outside of the cluster: without it the backups cannot be read. New keys need "
        "no restart; another passphrase needs another path."
    )
    trusted_ca: TrustedCA | None = Field(
        default=None,
        alias="trustedCA",
        description="ConfigMap with the certificate of the store's authority. Unset: the image's own bundle.",
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
            rule(
                "has(self.s3) || !has(self.type) || self.type != 'S3'",
                "s3 must be given for type S3: name the bucket, or set type to Volume",
                ".s3",
            ),
            rule(
                "!has(self.s3) || !has(self.type) || self.type == 'S3'",
                "s3 must be absent unless type is S3: take it out, or set type to S3",
                ".s3",
            ),
        )
    )

    type: BackupType | None = Field(
        default=None,
        description="Where backups are kept. Volume: on a volume of their own in this cluster, which protects against "
        "damage to the data, and not against the loss of the cluster. S3: in a bucket. None: nowhere; nothing is "
        "backed up. Unset: S3 with s3; without it None in environment Development, otherwise Volume. An edit begins a "
        "maintenance of the database, and the new place begins with a full backup.",
    )
    s3: S3 | None = Field(default=None, description="The bucket. Unset: none.")
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
