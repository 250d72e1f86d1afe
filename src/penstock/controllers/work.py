"""One controller as the manager runs it: a queue of its own, what wakes it, and who handles its keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from penstock.kube.queue import WorkQueue
from penstock.kube.resources import Resource

Json = dict[str, Any]
# Namespace and name of what a controller handles; which kind that is, the queue says.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """`concerns`: the keys that a changed object is about. `reconcile`: as the handler of `WorkQueue.run`.

    `everything`: the keys of all there is to handle, for when something that concerns all of them has changed.
    """

    queue: WorkQueue[Key]
    workers: int
    concerns: Callable[[Resource, Json], Iterable[Key]]
    reconcile: Callable[[Key], Awaitable[float | None]]
    everything: Callable[[], Iterable[Key]]

    def wake(self, resource: Resource, obj: Json) -> None:
        """Have the controller look at whatever the object concerns."""
        for key in self.concerns(resource, obj):
            self.queue.add(key)

    def wake_all(self) -> None:
        """Have the controller look at everything."""
        for key in self.everything():
            self.queue.add(key)

    async def run(self) -> None:
        """Handle keys until stopped."""
        await self.queue.run(self.workers, self.reconcile)
