"""Counts how often the triggers of a test's database ask the fence."""

from typing import Any


async def count_questions(database: Any) -> None:
    """From now on fence_statement() counts its calls, and does what it did. A schema update makes it anew."""
    await database.execute("CREATE SEQUENCE IF NOT EXISTS asked START 1")
    await database.execute("GRANT USAGE ON SEQUENCE asked TO rtx_engine")
    await database.execute(
        "CREATE OR REPLACE FUNCTION rtx_operator.fence_statement() RETURNS trigger LANGUAGE plpgsql AS $$"
        "BEGIN PERFORM nextval('public.asked'), rtx_operator.assert_executor(); RETURN NULL; END$$"
    )


async def asked(database: Any) -> int:
    """How often triggers have asked."""
    [(last, is_called)] = await database.execute("SELECT last_value::int, is_called FROM asked")
    return last if is_called else 0
