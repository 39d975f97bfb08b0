"""Who is next where many wait: the sites take turns, each by how much it asks for."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Waiting(NamedTuple, Generic[T]):
    cost: int
    item: T


class FairQueue(Generic[T]):
    """What waits, in a queue for each site (deficit round robin).

    In each turn a site is given a credit, and what stands first of it is taken when its credit is enough. So sites get
    as much as each other however they cut it, and nobody waits for another's backlog.
    """

    def __init__(self, credit: int) -> None:
        self._credit = credit
        self._queues: OrderedDict[str, deque[_Waiting[T]]] = OrderedDict()
        """The site whose turn it is comes first; none is empty."""
        self._credits: dict[str, int] = {}
        self._costs: dict[str, int] = {}
        self.cost = 0
        """What all that waits costs."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def cost_of(self, site: str) -> int:
        """What all that waits of a site costs."""
        return self._costs.get(site, 0)

    def put(self, site: str, cost: int, item: T) -> None:
        """Let something wait."""
        self._queues.setdefault(site, deque()).append(_Waiting(cost, item))
        self._costs[site] = self._costs.get(site, 0) + cost
        self.cost += cost
        self._count += 1

    def take(self, busy: Collection[str] = ()) -> T | None:
        """What is next of a site that is not busy; None: nothing waits of any."""
        while ready := [site for site in self._queues if site not in busy]:
            for site in ready:
                queue = self._queues[site]
                cost = queue[0].cost
                credit = self._credits.get(site, 0)
                if credit >= cost or len(ready) == 1:
                    taken = queue.popleft()
                    self._credits[site] = max(0, credit - cost)
                    self._gone(site, cost)
                    return taken.item
                self._credits[site] = credit + self._credit
                self._queues.move_to_end(site)
        return None

    def remove(self, site: str, item: T) -> bool:
        """Let something wait no more; → whether it did."""
        for waiting in self._queues.get(site, ()):
            if waiting.item is item:
                self._queues[site].remove(waiting)
                self._gone(site, waiting.cost)
                return True
        return False

    def longest(self) -> tuple[str, T]:
        """The site that most waits of, and what came last of it."""
        site = max(self._costs, key=self._costs.__getitem__)
        return site, self._queues[site][-1].item

    def _gone(self, site: str, cost: int) -> None:
        self.cost -= cost
        self._count -= 1
        self._costs[site] -= cost
        if not self._queues[site]:
            del self._queues[site], self._costs[site]
            self._credits.pop(site, None)  # whoever comes back begins anew
