"""Fetching replies, each in a thread of its own: a node's upload may stall, grow without end, or make no sense."""

import threading
import time
from collections.abc import Iterable

from flwr.serverapp import Grid

from collabdm.flower.replies import Reply, fetch

__all__ = ["Pulls"]

# How long one look waits for what it has begun to fetch; what takes longer is found by a later look.
PATIENCE = 1.0


class Pulls:
    """Looks for the replies to queries; a query whose reply is still on its way holds up no other.

    `most`: bytes of arrays that one reply may unpack to.
    """

    def __init__(self, grid: Grid, *, most: int) -> None:
        self._grid, self._most = grid, most
        self._at_work: dict[str, threading.Thread] = {}
        self._came: dict[str, Reply] = {}
        self._foreign: list[int] = []
        self._stopped = threading.Event()

    @property
    def passed_over(self) -> int:
        """How many messages came that answer none of the queries."""
        return sum(self._foreign)

    def look(self, queries: Iterable[str]) -> dict[str, Reply]:
        """What has come, in the order of `queries`: the first reply to each, or what is wrong with it in one line."""
        queries = list(queries)
        begun = [query for query in queries if query not in self._at_work]
        for query in begun:
            # A daemon: an upload that stalls must not hold up the end of the app.
            self._at_work[query] = threading.Thread(target=self._fetch, args=(query,), daemon=True)
            self._at_work[query].start()
        end = time.monotonic() + PATIENCE
        for query in begun:
            self._at_work[query].join(max(end - time.monotonic(), 0.0))
        done = [query for query in queries if not self._at_work[query].is_alive()]
        for query in done:
            del self._at_work[query]
        return {query: self._came.pop(query) for query in done if query in self._came}

    def stop(self) -> None:
        """Fetch no more: the threads in which Flower reads objects are no daemons, and end when this is seen."""
        self._stopped.set()

    def _fetch(self, query: str) -> None:
        came = fetch(self._grid, query, most=self._most, stopped=self._stopped, passed_over=self._foreign.append)
        if came is not None:
            self._came[query] = came
