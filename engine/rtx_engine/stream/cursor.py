"""The position of a client in its account's events. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class Cursor:
    """Admits each event once and in order, however often and from which source it arrives."""

    sent: int  # sequence of the last event sent to the client
    newest: int  # largest known sequence

    @property
    def behind(self) -> bool:
        """Whether an event exists that was not sent to the client."""
        return self.newest > self.sent

    def observe(self, sequence: int) -> None:
        """Record that event `sequence` exists."""
        self.newest = max(self.newest, sequence)

    def admit(self, sequence: int) -> bool:
        """Whether event `sequence` is the next to send; if so, count it as sent."""
        self.observe(sequence)
        if sequence != self.sent + 1:
            return False
        self.sent = sequence
        return True
