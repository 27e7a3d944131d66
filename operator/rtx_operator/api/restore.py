"""TradingEngineRestore: brings the database of an engine back to what a backup, or a moment, had."""

from pydantic import ConfigDict, Field

from rtx_operator.api.enums import RestorePhase
from rtx_operator.api.restore_source import RestoreSource
from rtx_operator.api.schema import ApiModel, ObjectName, Time, rule, rules
from rtx_operator.api.status import OperationRecord, RestoredData


class TradingEngineRestoreSpec(ApiModel):
    """What is to be restored, and whether the data of before may go."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.engine == oldSelf.engine && self.source == oldSelf.source",
                "engine and source cannot change: create another TradingEngineRestore",
            ),
            rule(
                "!oldSelf.confirm || self.confirm",
                "confirm cannot be taken back: the data of before are being deleted",
                ".confirm",
            ),
        )
    )

    engine: ObjectName = Field(description="Name of the TradingEngine, in the same namespace.")
    source: RestoreSource = Field(description="What is restored.")
    confirm: bool = Field(
        default=False,
        description="Whether the restored data are what you wanted. Once the restore has succeeded, true deletes the "
        "data of before it, which are kept on the database's volumes until then.",
    )


class TradingEngineRestoreStatus(OperationRecord):
    """What became of the restore. A terminal phase never changes."""

    phase: RestorePhase = Field(
        description="Pending, Validating, Fencing, Stopping, Restoring, Swapping, Starting, Resuming, Succeeded, "
        "RollingBack or Failed."
    )
    folder: str = Field(default="", max_length=1024, description="Folder of the repository from which it restores.")
    label: str = Field(default="", max_length=64, description="The backup that it begins with.")
    restored: RestoredData | None = Field(default=None, description="What it brought back.")
    ended_at: Time | None = Field(default=None, description="When it was over.")
    keeps_earlier_data: bool = Field(
        default=False, description="Whether the data of before it are on the database's volumes, until spec.confirm."
    )
    servers: int = Field(default=0, ge=0, description="Volumes of the database whose data it replaced.")
