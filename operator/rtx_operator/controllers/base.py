"""The skeleton of every controller: live read → observe → decide → perform → status.

Law: a reconcile never asks what happened, only what is; create, update, resume, children's events and resync are all
the same to it. Status is written on every way out, so that what was observed and decided is never forgotten for the
sake of something that failed afterwards.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

import structlog

from rtx_operator.api import crd
from rtx_operator.api.foreign_text import fitted
from rtx_operator.api.kinds import KINDS
from rtx_operator.api.names import Label
from rtx_operator.cluster.client import ApiError, Client, ConflictError, Object, Resource
from rtx_operator.metrics import RECONCILE_SECONDS
from rtx_operator.workers import Priority
from rtx_operator.workqueue import Due

RECONCILE_DEADLINE_SECONDS = 60.0
STATUS_DEADLINE_SECONDS = 30.0  # for the status and the Events of one reconcile; each request has its own, of 10 s

log = structlog.get_logger(__name__)


class OutdatedDefinitionError(Exception):
    """The API server does not store all of the status that was written, so no operation can go on."""

    def __str__(self) -> str:
        return "the CustomResourceDefinition on this cluster is older than the operator; apply crds/ of its release"


class Key(NamedTuple):
    """An object of the API."""

    kind: str
    namespace: str
    name: str


@dataclass(slots=True)
class Attempt:
    """One reconcile under way.

    `status` is what is to be written if it ended now; None leaves what is there. `now` is the reconcile's one instant.
    `due_unstored` are the seconds until the next reconcile if the API server stores nothing new of `status`, as with an
    older CRD: what is decided on then is the same again. None: no other than otherwise.
    """

    manifest: Object
    now: datetime
    status: Object | None = None
    due_unstored: float | None = None

    @property
    def before(self) -> Object:
        """The status as it was read."""
        return self.manifest.get("status") or {}

    @property
    def generation(self) -> int:
        return int(self.manifest["metadata"]["generation"])


class Controller(ABC):
    """Reconciles the objects of one kind that belong to this operator class."""

    resource: ClassVar[Resource]

    def __init__(
        self, client: Client, operator_class: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._operator_class = operator_class
        self._now = now
        (kind,) = (kind for kind in KINDS if kind.name == self.resource.kind)
        self._status_schema = crd.structural(kind.status)

    @abstractmethod
    async def reconcile(self, attempt: Attempt) -> float:
        """Observe, decide and perform; keep `attempt.status` up to date. Returns seconds until the next reconcile."""

    @abstractmethod
    def status_after_error(self, attempt: Attempt, error: Exception) -> Object:
        """The status that says that `error` ended the attempt."""

    async def rests(self, key: Key) -> float | None:  # noqa: ARG002 - for those that watch
        """Seconds until the next reconcile of an object that is as desired by all that the watches delivered.

        None when it is not, or when they have not delivered enough: then it is read live. Changes nothing.
        """
        return None

    async def absent(self, key: Key) -> Object | None:  # noqa: ARG002 - for those that make objects
        """What is made for a name that has no object; None: nothing."""
        return None

    @abstractmethod
    async def wrote(self, before: Object, written: Object) -> None:
        """Emit what the new status calls for; `before` and `written` are whole objects."""

    @abstractmethod
    def forget(self, key: Key) -> None:
        """Drop what is kept of an object that is gone, or going, or not ours."""

    def priority(self, manifest: Object) -> Priority:  # noqa: ARG002 - of the object it depends where it does
        """Whose turn it is first, by what is stored."""
        return Priority.NORMAL

    async def __call__(self, key: Key) -> Due | None:
        """One reconcile; returns when the next one is due, None for an object that is not (any more) ours."""
        name = f"{key.namespace}/{key.name}"
        with RECONCILE_SECONDS.time(), structlog.contextvars.bound_contextvars(engine=name):
            due = await self._rests(key)
            if due is not None:
                return Due(due)
            async with asyncio.timeout(RECONCILE_DEADLINE_SECONDS):
                found = await self._client.get(self.resource, key.namespace, key.name)
                manifest = found or await self.absent(key)
            is_going = manifest is not None and manifest["metadata"].get("deletionTimestamp")
            if manifest is None or is_going or not self._serves(manifest):
                self.forget(key)  # of one that is going, the garbage collector does the rest, by owner references
                return None
            return await self._attempt(Attempt(manifest, self._now()))

    async def _rests(self, key: Key) -> float | None:
        """As `rests`; None after an error, which the live reconcile meets again and reports in status."""
        try:
            async with asyncio.timeout(RECONCILE_DEADLINE_SECONDS):
                return await self.rests(key)
        except Exception:
            log.warning("cannot tell by the watches whether it is at rest; reading it live", exc_info=True)
            return None

    def _serves(self, manifest: Object) -> bool:
        return bool(manifest["metadata"].get("labels", {}).get(Label.OPERATOR, "") == self._operator_class)

    async def _attempt(self, attempt: Attempt) -> Due:
        try:
            async with asyncio.timeout(RECONCILE_DEADLINE_SECONDS):
                due = await self.reconcile(attempt)
        except Exception as error:
            # After a conflict everything is read again at once: it is no error to report.
            if not isinstance(error, ConflictError):
                attempt.status = self.status_after_error(attempt, error)
            await self._write_although_failed(attempt)
            raise
        is_stored = await self._write(attempt)
        if not is_stored and attempt.due_unstored is not None:
            due = attempt.due_unstored
        return Due(due, self.priority({**attempt.manifest, "status": attempt.status or attempt.before}))

    async def _write_although_failed(self, attempt: Attempt) -> None:
        """The error that ended the attempt is the one to report, whatever comes of writing about it."""
        try:
            await self._write(attempt)
        except (ApiError, TimeoutError, OutdatedDefinitionError) as error:
            log.warning("status not written", error=str(error) or type(error).__name__)

    async def _write(self, attempt: Attempt) -> bool:
        """Write the status; False when the API server stored it as it was before."""
        if attempt.status is None:
            return True
        manifest, status = attempt.manifest, fitted(attempt.status, self._status_schema)
        if status == attempt.before:
            return True
        async with asyncio.timeout(STATUS_DEADLINE_SECONDS):
            written = await self._client.replace(self.resource, {**manifest, "status": status}, "status")
            stored = written.get("status") or {}
            if any(value and field not in stored for field, value in status.items()):
                raise OutdatedDefinitionError
            await self.wrote(manifest, written)
        return bool(stored != attempt.before)
