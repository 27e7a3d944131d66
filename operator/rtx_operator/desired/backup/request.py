"""A TradingEngineBackup that the operator asks for itself."""

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import BackupKind, Component
from rtx_operator.api.kinds import TRADING_ENGINE, TRADING_ENGINE_BACKUP
from rtx_operator.api.names import GROUP, VERSION, Names
from rtx_operator.desired.render import Object


def asked_for(engine: TradingEngine, suffix: str, kind: BackupKind) -> Object:
    """The backup NAME-backup-SUFFIX."""
    return requested(engine, f"{Names(engine.name).backup}-{suffix}", kind)


def requested(engine: TradingEngine, name: str, kind: BackupKind) -> Object:
    """The backup of that name."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": TRADING_ENGINE_BACKUP.name,
        "metadata": {
            "name": name,
            "namespace": engine.namespace,
            "labels": Names(engine.name).labels(Component.BACKUP),
            "ownerReferences": [owner(engine)],
        },
        "spec": {"engine": engine.name, "type": kind.value},
    }


def owner(engine: TradingEngine) -> Object:
    """The owner reference by which it goes with its engine; the backup itself stays in the repository."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": TRADING_ENGINE.name,
        "name": engine.name,
        "uid": engine.uid,
    }
