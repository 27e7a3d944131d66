"""Performs what concerns an engine's database: the move of the fence."""

import structlog

from rtx_operator.cluster import events, postgres
from rtx_operator.cluster.client import Client, Object
from rtx_operator.cluster.events import EventReason
from rtx_operator.observation import Owner
from rtx_operator.operations.effects import MoveFence

log = structlog.get_logger(__name__)


async def move_fence(
    client: Client, manifest: Object, owner: Owner, effect: MoveFence, address: postgres.Address, password: str
) -> None:
    """Raises postgres.FenceUnreachableError, postgres.FenceChangedError and postgres.DatabaseInUseError."""
    moved = await postgres.move(
        address,
        password,
        owner,
        effect.executors,
        effect.revisions,
        effect.known_epoch,
        effect.cutover,
        expected_epoch=effect.expected_epoch,
    )
    log.info("fence moved", executors=moved.executors, epoch=moved.epoch, cutover=moved.cutover)
    message = f"the fence names {', '.join(moved.executors) or 'nobody'} as executor from epoch {moved.epoch}"
    await events.record(client, manifest, EventReason.FENCE_MOVED, message)


async def update_fence(address: postgres.Address, password: str) -> None:
    """An update that fails holds up nothing: the fence is as good as it was, and the next reconcile tries again."""
    try:
        schema = await postgres.update_schema(address, password)
    except postgres.FenceUnreachableError as error:
        log.warning("the fence's schema was not updated; the operator retries", error=str(error))
    else:
        log.info("the fence's schema is up to date", version=schema.version)


async def switch_log(address: postgres.Address, password: str) -> None:
    """A switch that fails holds up nothing: the database switches by itself within a minute."""
    try:
        await postgres.switch_log(address, password)
    except postgres.FenceUnreachableError as error:
        log.warning("the database's log was not switched; it does so by itself", error=str(error))
