"""Reads the fence of one engine from its database."""

from rtx_operator.api.names import DATABASE_NAME, InternalKey, Names
from rtx_operator.cluster.observe.objects import Children, internal_secret_value
from rtx_operator.cluster.postgres import Address, FenceUnreachableError, Reader
from rtx_operator.cluster.resources import STATEFUL_SET
from rtx_operator.observation import FenceReport, replicas


def can_answer(children: Children, names: Names) -> bool:
    """Whether the database can be queried: one of its pods is ready, and the operator's password exists."""
    _, ready = replicas(children.get((STATEFUL_SET.kind, names.postgres)))
    return bool(ready and operator_password(children, names))


async def read_fence(reader: Reader, password: str, address: Address) -> FenceReport:
    """The fence, or the error of the database."""
    try:
        return FenceReport(fence=await reader.read(address, password))
    except FenceUnreachableError as error:
        return FenceReport(error=f"{DATABASE_NAME} at {error}")


def operator_password(children: Children, names: Names) -> str:
    """The password of the role rtx_operator, from the engine's internal Secret; empty while it is missing."""
    return internal_secret_value(children, names, InternalKey.DB_OPERATOR_PASSWORD)
