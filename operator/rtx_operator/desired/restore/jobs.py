"""The Jobs of a restore.

One checks the target by the repository alone. The others have a volume of the database, and run while it has no pods;
but for the last one, which deletes the data of before, beside the server on its node.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum

from rtx_operator.api import sizes
from rtx_operator.api.enums import Component
from rtx_operator.api.kinds import TRADING_ENGINE_RESTORE
from rtx_operator.api.names import GROUP, VERSION, Label
from rtx_operator.api.restore_source import RestoreSource
from rtx_operator.api.status import Restore
from rtx_operator.desired.backup.certificates import Party
from rtx_operator.desired.backup.pods import configuration_volume, pod_values
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render

CHECK_TIMEOUT = timedelta(minutes=10)
STEP_TIMEOUT = timedelta(minutes=10)  # of a rename, or of deleting what was kept
# For which the check waits for log: after three failures PostgreSQL waits a minute, and a file may be a minute late.
LOG_WAIT_SECONDS = 150
SILENT_FOR = timedelta(minutes=10)
_POD_NAME = "statefulset.kubernetes.io/pod-name"  # Kubernetes labels the pods of StatefulSets so


class Step(StrEnum):
    """What a Job does: the command of rtx-backup."""

    CHECK = "check"
    RESTORE = "restore"
    SWAP = "swap"
    SET_ASIDE = "set-aside"
    UNDO = "undo"
    FORGET = "forget"

    @property
    def in_name(self) -> str:
        """Its part of the Job's name; a maintenance has Jobs that check, too."""
        return "validate" if self is Step.CHECK else self.value


@dataclass(frozen=True, slots=True)
class DesiredRestore:
    """The Jobs of the restore under way."""

    check: Object
    restore: Object
    swaps: tuple[Object, ...]  # one for each volume
    undos: tuple[Object, ...]

    @property
    def jobs(self) -> tuple[Object, ...]:
        return (self.check, self.restore, *self.swaps, *self.undos)


def desired_restore(inputs: BuildInput, restore: Restore, image: str) -> DesiredRestore:
    """The Jobs of a restore, in `image`, that of the database that ran."""
    jobs, servers = _Jobs(inputs, restore, image), range(restore.servers)
    return DesiredRestore(
        check=jobs.check(),
        restore=jobs.restore(),
        swaps=tuple(jobs.step(Step.SET_ASIDE if one else Step.SWAP, one) for one in servers),
        undos=tuple(jobs.step(Step.UNDO, one) for one in servers),
    )


def forget_job(inputs: BuildInput, restore: Restore, image: str, server: int) -> Object:
    """The Job that deletes the data of before on a server's volume, on the node on which that is."""
    return _Jobs(inputs, restore, image).step(Step.FORGET, server)


def target(source: RestoreSource, label: str) -> list[str]:
    """The target for rtx-backup; `label` is that of the backup that source names."""
    if source.backup:
        return [f"--label={label}"]
    if source.time:
        return [f"--time={source.time.astimezone(UTC).isoformat()}"]
    return [f"--lsn={source.lsn}"] if source.lsn else ["--newest"]


@dataclass(frozen=True, slots=True)
class _Jobs:
    inputs: BuildInput
    record: Restore
    image: str

    def check(self) -> Object:
        arguments = [f"--repository={self.record.folder}", f"--wait={LOG_WAIT_SECONDS}", *self._target()]
        return self._job(Step.CHECK, 0, arguments, CHECK_TIMEOUT, claim="")

    def restore(self) -> Object:
        arguments = [f"--repository={self.record.folder}", f"--id={self.record.id}", *self._target()]
        return self._job(Step.RESTORE, 0, arguments, self.inputs.spec.backup.timeout, claim=self._claim(0))

    def step(self, step: Step, server: int) -> Object:
        return self._job(step, server, [f"--id={self.record.id}"], STEP_TIMEOUT, claim=self._claim(server))

    def _target(self) -> list[str]:
        return target(self.record.source, self.record.label)

    def _claim(self, server: int) -> str:
        return self.inputs.names.claim(Component.DATABASE, server)

    def _job(self, step: Step, server: int, arguments: Sequence[str], timeout: timedelta, *, claim: str) -> Object:
        inputs, record, names = self.inputs, self.record, self.inputs.names
        replays = step is Step.RESTORE
        resources = sizes.database_resources(inputs.spec.database.resources) if replays else None
        asked = resources or sizes.backup_resources(inputs.spec.backup.resources)
        beside = {_POD_NAME: f"{names.postgres}-{server}"} if step is Step.FORGET else {}
        return render(
            "restore/job",
            **pod_values(inputs, self.image),
            name=names.restore_job(step.in_name, record.id, server),
            namespace=inputs.namespace,
            labels={**names.labels(Component.RESTORE), Label.RESTORE.value: record.name},
            # Undoing must be possible once its TradingEngineRestore is deleted.
            owners=[owner(record)] if step is Step.FORGET else inputs.owners,
            step=step.value,
            arguments=list(arguments),
            reads=step in {Step.CHECK, Step.RESTORE},
            claim=claim,
            beside=beside,
            configuration=configuration_volume(inputs, Party.DATABASE),
            postgres=names.postgres if replays else "",
            timeout_seconds=int(timeout.total_seconds()),
            silent_seconds=int(SILENT_FOR.total_seconds()),
            resources=asked.model_dump(mode="json", exclude_none=True),
        )


def owner(record: Restore) -> Object:
    """The TradingEngineRestore, with which the Jobs go that it is confirmed by."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": TRADING_ENGINE_RESTORE.name,
        "name": record.name,
        "uid": record.uid,
        "controller": True,
    }
