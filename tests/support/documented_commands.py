"""The shell commands of the documents: which are run on the cluster, and why others are not.

Each ```sh block of the README (tests/e2e/test_readme.py) is run as a whole unless all its commands are in NOT_RUN, and
so are those of RUN_SECTIONS in the runbook (tests/faults/test_restored_database.py and test_signing_keys.py). Other
blocks are all in NOT_RUN. tests/unit/docs holds every document to that.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RUNBOOK = ROOT / "docs/runbook.md"
RUN_SECTIONS = DUMP, RESTORE, KEYS = "Dump the database", "Restore the database", "Signing keys of tokens"
DOCUMENTS = (
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "lab/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

_BY_MAKE = "takes minutes to an hour; the target's existence is checked with `make -n`"
_READS = "only shows the state, and some of these never end"
_LAB = "the local cluster's command line has tests of its own (tests/unit/lab, tests/e2e, tests/faults)"

NOT_RUN = {
    "make demo": _BY_MAKE,
    "make test": _BY_MAKE,
    "make test-faults": _BY_MAKE,
    "make check": _BY_MAKE,
    "make down": _BY_MAKE,
    "KEEP=1 make demo": _BY_MAKE,
    'RUN="$(lab/bootstrap.sh) run --frozen --all-packages"': "sets a variable, as the Makefile does",
    "$RUN pre-commit install": "changes the git hooks of whoever runs the tests",
    "export KUBECONFIG=$($RUN lab kubeconfig --path)": "sets a variable",
    "kubectl get te -A": _READS,
    "kubectl describe te rtx -n rtx-trading": _READS,
    "kubectl logs -n rtx-system deploy/rtx-operator -f": _READS,
    "kubectl exec -i rtx-postgres-0 -n rtx-trading -- psql -U postgres -d trading_engine --single-transaction"
    " -v ON_ERROR_STOP=1 < adjust.sql": "tests/unit/engine/test_store_events.py runs the statements",
    "uv tool install ./cli": "installs a program for whoever runs the tests; they run it from the workspace",
    "kubectl tradingengine --help": "kubectl finds the plugin once it is installed; tests/unit/cli prints the help",
    **dict.fromkeys(
        (
            "kubectl create -f - <<EOF",
            "apiVersion: rtx-trading.com/v1alpha1",
            "kind: TradingEngineRestore",
            "metadata: {generateName: back-, namespace: rtx-trading}",
            "spec: {engine: rtx, source: {time: \"$(date -u -d '5 minutes ago' +%Y-%m-%dT%H:%M:%SZ)\"}}",
            "EOF",
            """kubectl patch ter NAME -n rtx-trading --type merge -p '{"spec": {"confirm": true}}'""",
        ),
        "tests/e2e/test_restore.py creates and confirms one, to a moment that it knows",
    ),
    "kubectl get ter -n rtx-trading -o wide --watch": _READS,
    "$RUN lab status": _LAB,
    "$RUN lab in node2 ip addr": _LAB,
    "$RUN lab cut node2; $RUN lab heal node2": _LAB,
    "$RUN lab down": _LAB,
}
"""Command → why no test runs it."""

SERVER_DRY_RUN = {
    "kubectl delete -k manifests/operator --ignore-not-found": "the other end-to-end tests need the operator",
    "kubectl delete -k crds --ignore-not-found": "deletes every engine of the cluster, also those of the other tests",
}
"""README's command → why the test adds --dry-run=server."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a document; `language` is empty when the fence names none."""

    document: Path
    heading: str
    language: str
    text: str

    @property
    def commands(self) -> tuple[str, ...]:
        """Its lines without comments; empty lines are left out."""
        lines = (re.sub(r"(^|\s+)# .*", "", line).strip() for line in self.text.splitlines())
        return tuple(line for line in lines if line)

    @property
    def is_run(self) -> bool:
        """Whether a test runs it on the cluster."""
        is_to_be_run = self.document == README or (self.document == RUNBOOK and self.heading in RUN_SECTIONS)
        return is_to_be_run and not set(self.commands) <= NOT_RUN.keys()


def blocks(document: Path) -> list[Block]:
    """All fenced blocks, in the order of the document."""
    found: list[Block] = []
    heading, language, lines = "", "", list[str]()
    is_open = False
    for line in document.read_text().splitlines():
        if line.startswith("```"):
            if is_open:
                found.append(Block(document, heading, language, "\n".join(lines) + "\n"))
            else:
                language, lines = line.removeprefix("```").strip(), []
            is_open = not is_open
        elif is_open:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    return found


def shell_blocks(document: Path) -> list[Block]:
    return [block for block in blocks(document) if block.language == "sh"]
