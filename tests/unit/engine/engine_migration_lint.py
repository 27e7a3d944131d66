"""A linter of migrations for what squawk passes: code that it does not read, settings, and locks that are held long.

The runner's budgets bound how long a statement waits for a lock. Nothing bounds how long it then holds it.
"""

import re
from collections.abc import Iterator, Mapping

# What is no code, or not of this statement: comments, bodies of functions and DO blocks, strings.
_OPAQUE = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)|\$(?P<tag>[a-z_]*)\$.*?\$(?P=tag)\$|'(?:[^']|'')*'", re.DOTALL | re.IGNORECASE
)
# `-- rtx: allows do-block: nobody waits for it`
_ALLOWED = re.compile(r"^-- rtx: allows (?P<rule>[a-z-]+): \S", re.MULTILINE)
_NAME = r"(ONLY\s+)?[a-z_\"][\w.\"]*"

RULES: Mapping[str, re.Pattern[str]] = {
    rule: re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for rule, pattern in {
        # It outlives its file in the runner's session: another lock budget, or triggers that do not ask the fence.
        "setting": r"\A(RE)?SET\b|\bset_config\s*\(|\AALTER\s+(ROLE|USER|DATABASE|SYSTEM)\b",
        # No linter reads what they do.
        "do-block": r"\ADO\b",
        "call": r"\ACALL\b|\ASELECT\s+[a-z_][\w.]*\s*\(",
        # They lock a whole table until the migration ends, most of them while they write it anew.
        "table-lock": (
            r"\ALOCK\b|\ACLUSTER\b|\ATRUNCATE\b|\AVACUUM\b|\AREFRESH\s+MATERIALIZED\b"
            r"|\AALTER\s+TABLE\b.*\bSET\s+(UNLOGGED|LOGGED|TABLESPACE|ACCESS\s+METHOD|WITHOUT\s+CLUSTER)\b"
        ),
        # They lock rows until the migration ends: orders of those accounts are not executed meanwhile.
        "row-locks": (
            rf"\bUPDATE\s+{_NAME}(\s+\*)?(\s+(AS\s+)?(?!SET\b)\w+)?\s+SET\b|\bDELETE\s+FROM\b|\AMERGE\b"
            r"|\bFOR\s+(NO\s+KEY\s+UPDATE|UPDATE|SHARE|KEY\s+SHARE)\b"
        ),
        # Whoever writes the table then is not fenced.
        "unfenced": r"\b(DISABLE|ENABLE)\s+(REPLICA\s+|ALWAYS\s+)?TRIGGER\b|\bDROP\s+TRIGGER\b.*\bexecution_fence\b",
    }.items()
}


def faults(sql: str) -> list[str]:
    """The rules that a migration's file breaks and does not allow itself with a reason, sorted."""
    allowed = {match["rule"] for match in _ALLOWED.finditer(sql)}
    broken = {rule for statement in _statements(sql) for rule, pattern in RULES.items() if pattern.search(statement)}
    return sorted(broken - allowed)


def _statements(sql: str) -> Iterator[str]:
    code = _OPAQUE.sub(lambda match: " " if match["comment"] else "''", sql)
    return (statement.strip() for statement in code.split(";"))
