"""The lines by which a command follows an operation: one for each phase, and what it waits for."""

from collections.abc import Callable
from dataclasses import dataclass, field

from rtx_operator.api.enums import ConditionType, OperationName

from rtx_cli.decide.engine import Engine
from rtx_cli.render.text import Look, Style

_SLOW_SECONDS = 15.0  # a spec that no operator has read for so long


@dataclass
class Progress:
    """What has been printed, so that only news are."""

    look: Look
    seconds: Callable[[], float]  # since the command began to follow
    _phases: dict[str, str] = field(default_factory=dict)  # by operation
    _message: str = ""
    _is_told: bool = False

    def update(self, engine: Engine, *, is_over: bool = False) -> list[str]:
        """The lines that are new with this state of the engine; once it is over, others say what is left to do."""
        lines: list[str] = []
        for operation in engine.under_way:
            if self._phases.get(operation.id) != operation.phase:
                self._phases[operation.id] = operation.phase
                what = (
                    ""
                    if operation.kind is OperationName.CUTOVER
                    else f"{operation.kind.lower()} of {operation.title}: "
                )
                lines.append(self._line(f"{what}{operation.phase}", operation.message, operation.reason))
                self._message = operation.message
            elif operation.message not in {"", self._message}:
                self._message = operation.message
                lines.append(self._line("", operation.message, operation.reason))
        return lines if is_over else [*lines, *self._stalled(engine)]

    def waiting(self, engine: Engine) -> list[str]:
        """What to say while nothing changes."""
        if self._is_told or engine.observed_generation >= engine.generation or self.seconds() < _SLOW_SECONDS:
            return []
        self._is_told = True
        doctor = f"`kubectl tradingengine doctor {engine.name}`"
        return [self._line("", f"no operator has read the change yet; {doctor} may say why", "")]

    def _stalled(self, engine: Engine) -> list[str]:
        stalled = engine.current(ConditionType.STALLED)
        text = f"Stalled: {stalled.message}" if stalled and stalled.holds else ""
        if not text or text == self._message:
            return []
        self._message = text
        return [self._line("", text, stalled.reason if stalled else "")]

    def _line(self, phase: str, message: str, reason: str) -> str:
        why = f"{message} ({reason})" if reason and message else message
        text = f"{self.seconds():6.1f} s  {phase:<14} {self.look.paint(why, Style.FAINT)}"
        return text.rstrip()
