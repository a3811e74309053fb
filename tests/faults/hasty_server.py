"""convalloc.server without a guard, for a control: while it lets the load balancer notice, the death of a worker ends it."""

from typing import Any

from convalloc import server


class Hasty(server.Server):
    """As if it were told to stop a second time."""

    def _replace_the_dead(self, spawn_target: Any, target_loader: Any) -> None:
        if self.interrupt_children:
            self.told += 1


if __name__ == "__main__":
    server.Server = Hasty  # type: ignore[misc]
    server.main()
