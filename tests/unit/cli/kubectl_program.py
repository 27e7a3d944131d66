"""A program in kubectl's place, which answers from files and notes how it was called.

Only for what a cluster cannot be made to do on demand, and for exit codes; tests/cluster has the real kubectl.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = """\
#!/bin/sh
cd "{folder}" || exit 9
printf '%s\\n' "$*" >> calls
printf '%s\\n' "$KUBERC" > kuberc
case "$*" in
  *--watch*) name=watch ;;
  port-forward*) name=port-forward ;;
  logs*) name="logs-$(printf '%s\\n' "$@" | grep -v -e '^-' -e '^logs$')" ;;
  patch*|apply*) name=patch ;;
  exec*) name=exec ;;
  get*tradingengines*) name=engine ;;
  get*\\ events\\ *) name=events ;;
  get*\\ pods\\ *) name=pods ;;
  get*\\ jobs.batch\\ *) name=jobs ;;
  get*controllerrevisions*) name=records ;;
  get*--all-namespaces*) name=operators ;;
  *) name=children ;;
esac
if [ -f "$name.once" ]; then cat "$name.once" >&2; rm "$name.once"; exit 1; fi
[ -f "$name" ] && cat "$name"
[ -f "$name.stays" ] && exec sleep 60
if [ -f "$name.err" ]; then cat "$name.err" >&2; exit 1; fi
exit 0
"""


@dataclass(frozen=True)
class KubectlProgram:
    """The folder with its answers."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "kubectl"

    def install(self) -> None:
        self.path.write_text(SCRIPT.format(folder=self.folder))
        self.path.chmod(0o755)

    def answer(self, name: str, value: Any) -> None:
        """What it prints: an object, or text."""
        (self.folder / name).write_text(value if isinstance(value, str) else json.dumps(value))

    def items(self, name: str, *items: Any) -> None:
        self.answer(name, {"items": list(items)})

    def events(self, *engines: Any) -> None:
        """The events of a watch, as kubectl writes them."""
        events = [{"type": "ADDED" if number == 0 else "MODIFIED", "object": one} for number, one in enumerate(engines)]
        self.answer("watch", "".join(f"{json.dumps(event)}\n" for event in events))

    def fails(self, name: str, stderr: str) -> None:
        (self.folder / f"{name}.err").write_text(stderr)

    def fails_once(self, name: str, stderr: str) -> None:
        (self.folder / f"{name}.once").write_text(stderr)

    def stays(self, name: str) -> None:
        """It prints its answer, and then runs on."""
        (self.folder / f"{name}.stays").touch()

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []
