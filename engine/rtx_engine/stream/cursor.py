"""How far a client is in its account's events. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class Cursor:
    """Lets each event through once and in order, however often and from wherever it comes."""

    sent: int  # sequence of the last event that the client was sent
    newest: int  # the largest sequence known to exist

    @property
    def behind(self) -> bool:
        """Whether an event exists that the client has not been sent."""
        return self.newest > self.sent

    def notice(self, sequence: int) -> None:
        """Event `sequence` exists."""
        self.newest = max(self.newest, sequence)

    def admit(self, sequence: int) -> bool:
        """Whether event `sequence`, which is at hand, is the next to be sent. If so it counts as sent."""
        self.notice(sequence)
        if sequence != self.sent + 1:
            return False
        self.sent = sequence
        return True
