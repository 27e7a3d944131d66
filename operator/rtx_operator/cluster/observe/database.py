"""Reads the fence of one engine from its database."""

from rtx_operator.api.names import DATABASE_NAME, InternalKey, Names
from rtx_operator.cluster.observe.objects import Children, internal_secret_value
from rtx_operator.cluster.postgres import Address, FenceUnreachableError, Reader
from rtx_operator.cluster.resources import STATEFUL_SET
from rtx_operator.observation import FenceReport, replicas


async def read_fence(reader: Reader, children: Children, names: Names, address: Address) -> FenceReport | None:
    """The fence, or the error of the database; None without a query.

    The database is not queried while none of its pods is ready or the operator's password is missing.
    """
    password = operator_password(children, names)
    _, ready = replicas(children.get((STATEFUL_SET.kind, names.postgres)))
    if not ready or not password:
        return None
    try:
        return FenceReport(fence=await reader.read(address, password))
    except FenceUnreachableError as error:
        return FenceReport(error=f"{DATABASE_NAME} at {error}")


def operator_password(children: Children, names: Names) -> str:
    """The password of the role rtx_operator, from the engine's internal Secret; empty while it is missing."""
    return internal_secret_value(children, names, InternalKey.DB_OPERATOR_PASSWORD)
