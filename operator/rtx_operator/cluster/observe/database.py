"""What an engine's database says: its fence."""

from rtx_operator.api.names import DATABASE_NAME, InternalKey, Names
from rtx_operator.cluster.observe.objects import Children, internal_secret_value
from rtx_operator.cluster.postgres import Address, FenceUnreachableError, Reader
from rtx_operator.cluster.resources import STATEFUL_SET
from rtx_operator.observation import FenceReport, replicas


async def read_fence(reader: Reader, children: Children, names: Names, address: Address) -> FenceReport | None:
    """The fence, or the error that kept the database from answering; None when it was not asked.

    It is asked once a pod of it is ready and the operator has a password.
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
    """The password of the operator's role, from the engine's internal Secret; empty while there is none."""
    return internal_secret_value(children, names, InternalKey.DB_OPERATOR_PASSWORD)
