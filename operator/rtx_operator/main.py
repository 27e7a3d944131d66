"""The entry point: the console script, and the parts of one operator process.

| part                                        | module                                                       |
|---------------------------------------------|--------------------------------------------------------------|
| leader election between two replicas        | cluster/lease.py                                             |
| watches                                     | handlers.py: engines; cluster/watch.py: their children        |
| whether there is something to watch         | definitions.py                                               |
| one reconcile per engine at a time          | workqueue.py, workers.py                                     |
| observe → decide → perform → write status   | controllers/                                                 |
| /healthz, /readyz, /metrics                 | health.py, metrics.py                                        |
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import kopf
import structlog

from rtx_operator import definitions, handlers, health, logs, settings
from rtx_operator.api import crd, reference
from rtx_operator.api.kinds import KINDS
from rtx_operator.cluster import postgres
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import ApiError, connect
from rtx_operator.cluster.crash import CrashHook
from rtx_operator.cluster.fleet import Fleet
from rtx_operator.cluster.lease import LeadershipLostError, Lease, Timing
from rtx_operator.cluster.observe import Inquiries, Observer
from rtx_operator.cluster.perform import Performer
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import BACKUP, CHILDREN, ENGINE, GRANDCHILDREN, RESTORE
from rtx_operator.cluster.watch import Watches
from rtx_operator.cluster.watched import VersionsWentBackError, WatchedObjects
from rtx_operator.controllers.backup import BackupController
from rtx_operator.controllers.base import Controller, Key, OutdatedDefinitionError
from rtx_operator.controllers.engine import EngineController
from rtx_operator.controllers.restore import RestoreController
from rtx_operator.metrics import LEADER, QUEUE_DEPTH, RECONCILE_ERRORS
from rtx_operator.own_thread import OwnThread
from rtx_operator.workqueue import WorkQueue

log = structlog.get_logger(__name__)


def run() -> None:
    """The console script `rtx-operator`."""
    parser = argparse.ArgumentParser(prog="rtx-operator", description="Runs TradingEngines on Kubernetes.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("run", help="serve the cluster of this pod, or of KUBECONFIG (the default)")
    writing = commands.add_parser("crd", help="print the CustomResourceDefinition")
    writing.add_argument("--write", type=Path, metavar="DIR", help="write it into this folder instead")
    commands.add_parser("reference", help="print docs/reference.md, the fields of a TradingEngine")
    arguments = parser.parse_args()
    if arguments.command == "crd":
        _write_crd(arguments.write)
        return
    if arguments.command == "reference":
        sys.stdout.write(reference.render())
        return
    try:
        chosen = settings.from_environment()
    except settings.SettingsError as error:
        sys.exit(f"rtx-operator: {error}")
    logs.configure(chosen.log_level)
    asyncio.run(operate(chosen))


def _write_crd(folder: Path | None) -> None:
    for kind in KINDS:
        if folder is None:
            sys.stdout.write(f"---\n{crd.render(kind)}")
        else:
            (folder / crd.file_name(kind)).write_text(crd.render(kind), encoding="utf-8")


async def operate(chosen: settings.Settings) -> None:
    """Wait to lead, then serve until SIGTERM or SIGINT.

    Losing the Lease ends the process with exit code 1, and so does a watch that has ended for good.
    """
    lease = Lease(chosen.namespace, chosen.lease_name, chosen.identity, Timing.within(chosen.lease_seconds))
    lease_client, client = await connect(guard=lambda: None), await connect(guard=lease.guard)
    readiness = health.Readiness()
    runner = await health.serve(chosen.listen_port, readiness)

    async def lead() -> None:
        await definitions.wait_for_kinds(client, readiness)
        await lease.acquire(lease_client)

    try:
        if await _leads_before_stop(lead()):
            LEADER.set(1)
            # Hashing the passwords of new engines, or parsing a long list, keeps this loop busy for seconds.
            holding = OwnThread(run_or_die(_hold(lease)), "lease")

            def changed(scope: tuple[str, str]) -> None:
                read_cache.changed(scope)
                handlers.child_changed(queue, scope)

            fleet, watched = Fleet(), WatchedObjects(changed)
            read_cache = ReadCache(client, watched=watched)
            # `queue` is made below: nothing is asked, and so nobody woken, before it runs.
            inquiries = Inquiries[tuple[str, str]](lambda engine: queue.add(Key(ENGINE.kind, *engine)))
            observer = Observer(client, read_cache, postgres.Reader(), inquiries)
            performer = Performer(client, Applier(client, read_cache), CrashHook(chosen.crash_hook_file))
            controllers: dict[str, Controller] = {}
            queue: WorkQueue[Key] = WorkQueue(lambda key: controllers[key.kind](key), _failed)
            controllers[ENGINE.kind] = EngineController(
                client, observer, performer, chosen, fleet=fleet, wake=queue.add
            )
            controllers[BACKUP.kind] = BackupController(client, chosen)
            controllers[RESTORE.kind] = RestoreController(client, chosen, wake=queue.add)
            QUEUE_DEPTH.set_function(lambda: queue.depth)
            working = asyncio.create_task(run_or_die(queue.run(chosen.workers)))

            async def watch() -> None:
                await handlers.add_all(client, queue, controllers[ENGINE.kind], fleet, chosen)
                await Watches(client, watched, chosen.watch_namespaces).run((*CHILDREN, *GRANDCHILDREN))

            watching = asyncio.create_task(run_or_die(watch()))
            failed = await _watch_until_stopped(chosen, handlers.registry(queue, controllers, fleet))
            tasks = (working, watching)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await holding.stop()
            await lease.release(lease_client)
            if failed:
                sys.exit(1)
    finally:
        await runner.cleanup()
        await client.close()
        await lease_client.close()


async def _watch_until_stopped(chosen: settings.Settings, registry: kopf.OperatorRegistry) -> bool:
    """Watch the objects of the API until SIGTERM or SIGINT, which kopf handles from here on; True when a watch failed.

    kopf retries what may pass; what it gives up on is a CRD that was deleted, or a right that was taken away.
    """
    try:
        await kopf.operator(
            registry=registry,
            settings=handlers.settings(chosen.operator_class),
            # kopf's default contains the user's name, which a pod does not have; kopf does not export the type.
            identity=cast("Any", chosen.identity),
            clusterwide=not chosen.watch_namespaces,
            namespaces=chosen.watch_namespaces,
            standalone=True,
        )
    except Exception as error:  # noqa: BLE001 - whatever ended it, this replica no longer watches
        log.error("a watch has ended for good; the process ends, and the next one waits for the CRD", error=str(error))  # noqa: TRY400
        return True
    return False


async def _leads_before_stop(acquire: Coroutine[None, None, None]) -> bool:
    """True when this replica leads, False after SIGTERM or SIGINT. Raises what `acquire` raises."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    waits = {asyncio.ensure_future(acquire), asyncio.ensure_future(stop.wait())}
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for waiting in pending:
        waiting.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for finished in done:
        finished.result()  # raises the error of `acquire`
    return not stop.is_set()


async def run_or_die(part: Coroutine[None, None, None]) -> None:
    """Run a part without which this replica must not act: an error of it ends the process, and another one leads."""
    try:
        await part
    except LeadershipLostError as error:
        _die("leadership lost; the process exits, so that only one replica acts", error)
    except VersionsWentBackError as error:
        _die("the API server was restored; the process exits, so that the next leader starts from what is there", error)
    except Exception as error:
        log.exception("a bug has ended a part of the operator")
        _die("the process exits, so that the next leader goes on", error)


def _die(message: str, error: Exception) -> None:
    log.error(message, reason=str(error))
    sys.stdout.flush()
    os._exit(1)  # a graceful shutdown would still perform effects


async def _hold(lease: Lease) -> None:
    """Renew the Lease, over connections of its own: no other request can delay that."""
    client = await connect(guard=lambda: None)
    try:
        await lease.hold(client)
    finally:
        await client.close()


def _failed(key: Key, error: Exception) -> None:
    RECONCILE_ERRORS.labels(getattr(error, "reason", type(error).__name__)).inc()
    engine = f"{key.namespace}/{key.name}"
    if isinstance(error, ApiError | TimeoutError | LeadershipLostError | OutdatedDefinitionError):
        log.warning("reconcile failed; the operator retries", engine=engine, error=str(error) or type(error).__name__)
    else:
        log.error("reconcile failed because of a bug; the operator retries", engine=engine, exc_info=error)
