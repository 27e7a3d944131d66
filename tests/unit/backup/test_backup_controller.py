"""A TradingEngineBackup from its creation to its end, by the controller at an API server over real HTTP."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from api_server import ApiServer, serving
from rtx_operator.api.enums import BackupPhase, Reason
from rtx_operator.api.names import StoreKey
from rtx_operator.cluster.client import Object
from rtx_operator.cluster.resources import BACKUP, ENGINE, JOB, POD, SECRET, STATEFUL_SET
from rtx_operator.controllers.backup import BackupController
from rtx_operator.controllers.base import Key
from rtx_operator.settings import from_environment

SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
ENGINE_SPEC = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}}
DATABASE = {"revision": "r1", "image": "example.com/postgres:17", "asked": {"spec": "a1"}}
MADE = {
    "label": "20261127-140447F",
    "type": "full",
    "started": 1795788287,
    "finished": 1795788290,
    "bytes": 22992374,
    "stored_bytes": 2840320,
    "lsn_start": "0/2000028",
    "lsn_stop": "0/2000100",
    "wal_start": "000000010000000000000002",
    "wal_stop": "000000010000000000000002",
    "has_errors": False,
    "wal_verified": True,
    "folder": "/repository/f1",
}
REPOSITORY = {
    "place": "a1b2c3d4e5",
    "count": 1,
    "oldest": 1795788290,
    "newest": 1795788290,
    "stored_bytes": 2840320,
    "wal_min": "000000010000000000000002",
    "wal_max": "000000010000000000000002",
}


class Backups:
    """An engine whose database is ready for backups, and the controller of them."""

    def __init__(self, server: ApiServer, controller: BackupController, clock: "Clock") -> None:
        self.server = server
        self.controller = controller
        self.clock = clock

    def ask(self, name: str = "now", **spec: Any) -> None:
        wanted = {"engine": "rtx", "type": "Incremental", **spec}
        self.server.put(BACKUP, name, labels={}, apiVersion=BACKUP.api_version, kind=BACKUP.kind, spec=wanted)

    async def reconcile(self, name: str = "now", times: int = 1) -> Object:
        for _ in range(times):
            await self.controller(Key(BACKUP.kind, "trading", name))
        found: Object = self.server.objects[BACKUP.path("trading", name)]
        status: Object = found.get("status", {})
        return status

    @property
    def jobs(self) -> list[Object]:
        return [one for path, one in self.server.objects.items() if path.startswith(JOB.path("trading") + "/")]

    def end_job(self, kind: str, message: str | None, **changes: Any) -> None:
        (job,) = self.jobs
        job["status"] = {"conditions": [{"type": kind, "status": "True", "message": "BackoffLimitExceeded"}]}
        ended = {"exitCode": 0 if kind == "Complete" else 1, "message": message}
        statuses = [{"name": "backup", "state": {"terminated": ended}}]
        labels = {**job["metadata"]["labels"], "batch.kubernetes.io/job-name": job["metadata"]["name"]}
        if message is not None:
            self.server.put(POD, "pod", labels=labels, status={"containerStatuses": statuses, **changes})


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 27, 12, tzinfo=UTC)

    def seconds(self) -> float:
        return self.now.timestamp()

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest_asyncio.fixture
async def backups() -> AsyncIterator[Backups]:
    server, clock = ApiServer(), Clock()
    named = {"apiVersion": ENGINE.api_version, "kind": ENGINE.kind}
    server.put(ENGINE, "rtx", **named, spec=ENGINE_SPEC, status={"database": DATABASE})
    put_server(server, "rtx-postgres", "postgres", "pgbackrest")
    put_server(server, "rtx-backup", "pgbackrest")
    async with serving(server) as client:
        controller = BackupController(client, SETTINGS, now=lambda: clock.now, clock=clock.seconds)
        yield Backups(server, controller, clock)


def put_server(server: ApiServer, name: str, *containers: str, ready: int = 1) -> None:
    sources = [{"configMap": {"name": "rtx-backup"}}, {"secret": {"name": "rtx-backup"}}]
    volumes = [{"name": "backup", "projected": {"sources": sources}}]
    template = {"spec": {"containers": [{"name": container} for container in containers], "volumes": volumes}}
    spec, status = {"replicas": 1, "template": template}, {"readyReplicas": ready, "observedGeneration": 1}
    server.put(STATEFUL_SET, name, kind="StatefulSet", spec=spec, status=status)


def put_bucket(server: ApiServer, **keys: str) -> None:
    """The engine keeps its backups in a bucket; its Secret has these keys."""
    store = {"bucket": "b1", "endpoint": "s3.example.com", "credentialsSecretRef": {"name": "s3"}}
    server.objects[ENGINE.path("trading", "rtx")]["spec"] = {**ENGINE_SPEC, "backup": {"s3": store}}
    server.put(SECRET, "s3", data={key: base64.b64encode(value.encode()).decode() for key, value in keys.items()})


def put_job(server: ApiServer, name: str, cron_job: str = "") -> None:
    labels = {"rtx-trading.com/engine": "rtx", "app.kubernetes.io/component": "backup"}
    server.put(JOB, name, labels=labels, kind="Job", spec={}, status={})
    owners = [{"kind": "CronJob", "name": cron_job, "uid": "c"}] if cron_job else []
    server.objects[JOB.path("trading", name)]["metadata"]["ownerReferences"] = owners


def said(made: Object = MADE) -> str:
    return json.dumps({"backup": made, "repository": REPOSITORY})


async def test_backup_that_was_asked_for_is_made_by_one_job_and_reports_it(backups: Backups) -> None:
    # given
    backups.ask()
    # when: its phase is stored before anything is done
    status = await backups.reconcile()
    assert (status["phase"], backups.jobs) == (BackupPhase.PENDING, [])
    assert status["deadline"]
    # and
    await backups.reconcile()
    (job,) = backups.jobs
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/postgres:17"
    assert (await backups.reconcile())["phase"] == BackupPhase.RUNNING
    backups.end_job("Complete", said())
    status = await backups.reconcile()
    # then
    assert status["phase"] == BackupPhase.SUCCEEDED
    assert status["made"]["walVerified"] is True
    assert status["made"]["lsnStop"] == "0/2000100"
    assert status["made"]["folder"] == "/repository/f1"
    assert status["seconds"] == 3
    assert status["repository"]["count"] == 1
    assert len(backups.jobs) == 1


async def test_terminal_phase_never_changes(backups: Backups) -> None:
    # given
    backups.ask()
    await backups.reconcile(times=3)
    backups.end_job("Complete", said())
    ended = await backups.reconcile()
    # when: all that it rested on is gone
    backups.clock.pass_time(100_000)
    backups.server.objects = {
        path: one for path, one in backups.server.objects.items() if path == BACKUP.path("trading", "now")
    }
    # then
    assert await backups.reconcile() == ended


@pytest.mark.parametrize(
    ("kind", "message", "reason", "words"),
    [
        ("Failed", json.dumps({"error": "[095]: unable to load"}), Reason.BACKUP_FAILED, "[095]: unable to load"),
        ("Failed", "sh: rtx-backup: not found", Reason.BACKUP_FAILED, "rtx-backup: not found"),
        ("Failed", None, Reason.BACKUP_FAILED, "BackoffLimitExceeded"),
        ("Complete", None, Reason.BACKUP_UNREPORTED, "its pod is gone"),
        ("Complete", "{}", Reason.BACKUP_UNREPORTED, "cannot be read"),
        ("Complete", said({**MADE, "wal_verified": False}), Reason.BACKUP_FAILED, "the repository lacks log"),
        ("Complete", said({**MADE, "has_errors": True}), Reason.BACKUP_FAILED, "wrong checksums"),
    ],
)
async def test_backup_of_which_nobody_says_that_it_can_be_restored_has_failed(
    backups: Backups, kind: str, message: str | None, reason: Reason, words: str
) -> None:
    # given
    backups.ask()
    await backups.reconcile(times=3)
    # when
    backups.end_job(kind, message)
    status = await backups.reconcile()
    # then
    assert (status["phase"], status["reason"]) == (BackupPhase.FAILED, reason)
    assert words in status["message"]


async def test_backup_fails_at_once_where_spec_asks_for_none(backups: Backups) -> None:
    # given
    engine = backups.server.objects[ENGINE.path("trading", "rtx")]
    engine["spec"] = {**ENGINE_SPEC, "backup": {"type": "None"}}
    backups.ask()
    # when
    status = await backups.reconcile(times=2)
    # then
    assert status["phase"] == BackupPhase.FAILED
    assert status["message"] == "TradingEngine rtx keeps no backups: set its spec.backup.type to Volume or S3"


@pytest.mark.parametrize(
    ("hindrance", "words"),
    [
        (lambda server: server.objects.pop(ENGINE.path("trading", "rtx")), "there is no TradingEngine rtx"),
        (lambda server: put_server(server, "rtx-postgres", "postgres"), "runs without the server"),
        (lambda server: put_server(server, "rtx-backup", "pgbackrest", ready=0), "waiting for the repository"),
        (lambda server: put_bucket(server, AWS_ACCESS_KEY_ID="id"), "lacks AWS_SECRET_ACCESS_KEY, BACKUP_PASSPHRASE"),
        (lambda server: put_job(server, "rtx-backup-full-1", "rtx-backup-full"), "Job rtx-backup-full-1"),
        (lambda server: put_bucket(server, **dict.fromkeys(StoreKey, "x")), "waiting for the maintenance"),
    ],
)
async def test_backup_waits_with_a_reason_and_fails_when_it_has_waited_for_too_long(
    backups: Backups, hindrance: Any, words: str
) -> None:
    # given
    hindrance(backups.server)
    backups.ask()
    # when
    status = await backups.reconcile(times=3)
    # then
    assert status["phase"] == BackupPhase.PENDING
    assert words in status["message"]
    assert all("rtx-backup-full" in job["metadata"]["name"] for job in backups.jobs)
    # and
    for _ in range(400):
        backups.clock.pass_time(10)
        status = await backups.reconcile()
        if status["phase"] == BackupPhase.FAILED:
            break
    assert status["reason"] == Reason.DEADLINE_EXCEEDED
    assert words in status["message"]


async def test_operator_that_was_away_gives_a_backup_time_before_its_deadline_fires(backups: Backups) -> None:
    # given
    put_server(backups.server, "rtx-backup", "pgbackrest", ready=0)
    backups.ask()
    await backups.reconcile(times=2)
    # when
    backups.clock.pass_time(7200)
    # then
    assert (await backups.reconcile())["phase"] == BackupPhase.PENDING


async def test_backup_whose_job_never_ends_fails_at_its_deadline(backups: Backups) -> None:
    # given: somebody has suspended it, and with that stopped its deadline
    backups.ask()
    await backups.reconcile(times=3)
    # when
    for _ in range(3000):
        due = await backups.controller(Key(BACKUP.kind, "trading", "now"))
        assert due is not None
        status = backups.server.objects[BACKUP.path("trading", "now")]["status"]
        if status["phase"] == BackupPhase.FAILED:
            break
        backups.clock.pass_time(max(due.seconds, 1))
    # then
    assert (status["phase"], status["reason"]) == (BackupPhase.FAILED, Reason.DEADLINE_EXCEEDED)


async def test_message_of_a_container_that_was_injected_is_no_report(backups: Backups) -> None:
    # given
    backups.ask()
    await backups.reconcile(times=3)
    # when
    backups.end_job("Complete", said())
    pod = backups.server.objects[POD.path("trading", "pod")]
    injected = {"name": "proxy", "state": {"terminated": {"exitCode": 0, "message": "drained"}}}
    pod["status"]["containerStatuses"].insert(0, injected)
    # then
    assert (await backups.reconcile())["phase"] == BackupPhase.SUCCEEDED


async def test_job_that_is_being_deleted_gets_no_backup(backups: Backups) -> None:
    # given: its TradingEngineBackup was deleted, and its pods are still to go
    put_job(backups.server, "rtx-backup-full-1", "rtx-backup-full")
    job = backups.server.objects[JOB.path("trading", "rtx-backup-full-1")]
    job["metadata"]["deletionTimestamp"] = "2026-11-27T12:00:00Z"
    # when
    await backups.controller(Key(BACKUP.kind, "trading", "rtx-backup-full-1"))
    # then
    assert BACKUP.path("trading", "rtx-backup-full-1") not in backups.server.objects


async def test_backup_is_made_by_the_operator_that_serves_its_engine(backups: Backups) -> None:
    # given: an engine of another operator class, and a backup without its label
    backups.server.objects[ENGINE.path("trading", "rtx")]["metadata"]["labels"] = {"rtx-trading.com/operator": "desk"}
    put_job(backups.server, "rtx-backup-full-1", "rtx-backup-full")
    clock, settings = backups.clock, replace(SETTINGS, operator_class="desk")
    desk = BackupController(backups.controller._client, settings, now=lambda: clock.now, clock=clock.seconds)
    backups.ask()
    # when
    untouched = await backups.reconcile()
    backups.controller = desk
    asked = await backups.reconcile()
    scheduled = await backups.reconcile("rtx-backup-full-1", times=2)
    # then
    assert untouched == {}
    assert asked["phase"] == BackupPhase.PENDING
    assert scheduled["phase"] == BackupPhase.RUNNING


async def test_job_of_the_schedule_gets_a_backup_of_its_own(backups: Backups) -> None:
    # given
    put_job(backups.server, "rtx-backup-full-29387420", "rtx-backup-full")
    # when
    status = await backups.reconcile("rtx-backup-full-29387420", times=2)
    # then
    made = backups.server.objects[BACKUP.path("trading", "rtx-backup-full-29387420")]
    assert made["spec"] == {"engine": "rtx", "type": "Full"}
    assert (status["phase"], status["job"]) == (BackupPhase.RUNNING, "rtx-backup-full-29387420")
    # and
    backups.end_job("Complete", said())
    assert (await backups.reconcile("rtx-backup-full-29387420"))["phase"] == BackupPhase.SUCCEEDED


async def test_other_jobs_get_no_backup(backups: Backups) -> None:
    # given: somebody's, with our labels
    put_job(backups.server, "rtx-backup-full-1")
    # when
    await backups.controller(Key(BACKUP.kind, "trading", "rtx-backup-full-1"))
    # then
    assert BACKUP.path("trading", "rtx-backup-full-1") not in backups.server.objects


async def test_backup_that_was_asked_for_belongs_to_its_engine(backups: Backups) -> None:
    # given
    backups.ask()
    # when
    await backups.reconcile()
    # then
    meta = backups.server.objects[BACKUP.path("trading", "now")]["metadata"]
    assert meta["labels"]["rtx-trading.com/engine"] == "rtx"
    assert [owner["name"] for owner in meta["ownerReferences"]] == ["rtx"]
