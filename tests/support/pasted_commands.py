"""Runs the documents' shell blocks on the local cluster, in another namespace than the documents' own."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from documented_commands import SERVER_DRY_RUN, Block
from rtx_lab.provider import Provider

BLOCK_DEADLINE_SECONDS = 330  # above the longest --timeout of a block
DOCUMENTED_NAMESPACE = re.compile(r"\brtx-trading\b(?!\.com)")


@dataclass(frozen=True)
class Shell:
    """A folder in which blocks are pasted, each into a shell of its own, with kubectl for the local cluster."""

    cluster: Provider
    folder: Path
    namespace: str  # in place of the documents': theirs may hold the engine of `KEEP=1 make demo`

    def paste(self, block: Block) -> None:
        """Run a block; fails at its first command that fails, with all that was printed."""
        # Deleting the operator or the CRD for real would take every engine of the other tests along.
        lines = (f"{line} --dry-run=server --wait=false" if line in SERVER_DRY_RUN else line for line in block.commands)
        text = DOCUMENTED_NAMESPACE.sub(self.namespace, "\n".join(lines))
        done = subprocess.run(
            ["sh", "-eu", "-c", text],
            cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=BLOCK_DEADLINE_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.heading}:\n{text}\n{done.stdout}"

    def _environment(self) -> dict[str, str]:
        program = Path(self.cluster.kubectl()[0])
        folders = [str(program.parent)] if program.is_absolute() else []
        path = os.pathsep.join([*folders, os.environ["PATH"]])
        return {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig()), "PATH": path}
