"""How large a run is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """queued: conversations that wait. clients: connections, and operators. rounds: turns of each contender.

    seconds: the longest turn. allocations: how many wear the table out before picks are measured again.
    """

    queued: int
    clients: int
    rounds: int
    seconds: float
    allocations: int

    @property
    def operators(self) -> range:
        """Ids of the operators, one for each connection: whoever shares an operator would only wait for their lock."""
        return range(1, self.clients + 1)

    @property
    def round(self) -> int:
        """Most allocations of one turn, so that all turns together leave the queue long."""
        return max(1, self.queued // (20 * (self.rounds + 1)))
