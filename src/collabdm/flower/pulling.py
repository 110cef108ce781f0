"""Fetching replies, each in a thread of its own: a node's upload may stall, grow without end, or make no sense."""

import json
import threading
import time
from collections.abc import Iterable
from contextvars import ContextVar

import httpx
from flwr.app import Array, Message
from flwr.app.message.arraychunk import ArrayChunk
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_object_body,
    get_object_children_ids_from_object_content,
)
from flwr.supercore.inflatable.inflatable_utils import inflatable_class_registry

__all__ = ["Pulls"]

# How long one look waits for what it has begun to fetch; what takes longer is found by a later look.
PATIENCE = 1.0
# Bytes of arrays that may still be put together in this thread.
_LEFT: ContextVar[int | None] = ContextVar("left", default=None)


class Pulls:
    """Looks for the replies to queries; a query whose reply is still on its way holds up no other.

    `most`: bytes of arrays that one reply may unpack to. Flower stores a repeated chunk once and names it as often as
    the sender likes, so that a megabyte that was sent could become any number of gigabytes here.
    """

    def __init__(self, grid: Grid, *, most: int) -> None:
        self._grid, self._most = grid, most
        self._at_work: dict[str, threading.Thread] = {}
        self._came: dict[str, Message | str] = {}
        # For the rest of this process, since a thread may outlive the reception; elsewhere it is as Flower's own.
        inflatable_class_registry[Array.__qualname__] = _BoundedArray

    def look(self, queries: Iterable[str]) -> dict[str, Message | str]:
        """What has come, in the order of `queries`: the first reply to each, or what is wrong with it in one line."""
        queries = list(queries)
        begun = [query for query in queries if query not in self._at_work]
        for query in begun:
            # A daemon: a stalled upload, which Flower waits for up to two hours, must not hold up the end of the app.
            self._at_work[query] = threading.Thread(target=self._fetch, args=(query,), daemon=True)
            self._at_work[query].start()
        end = time.monotonic() + PATIENCE
        for query in begun:
            self._at_work[query].join(max(end - time.monotonic(), 0.0))
        done = [query for query in queries if not self._at_work[query].is_alive()]
        for query in done:
            del self._at_work[query]
        return {query: self._came.pop(query) for query in done if query in self._came}

    def _fetch(self, query: str) -> None:
        _LEFT.set(self._most)
        try:
            # A second reply to one query is not taken, nor what a reply says of the query that it belongs to.
            for reply in self._grid.pull_messages([query]):
                self._came.setdefault(query, reply)
        except httpx.HTTPError:
            return  # The link to the SuperLink, not the node: looked for again, and while it is down asking fails too.
        except Exception as error:  # Flower unpacks a stranger's bytes, and fails in as many ways as there are bytes.
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self._came[query] = f"a reply that cannot be read ({reason})"


class _BoundedArray(Array):
    """Flower's array, refused before it is put together where that would take more memory than is left."""

    @classmethod
    def inflate(cls, object_content: bytes, children: dict[str, InflatableObject] | None = None) -> Array:
        left = _LEFT.get()
        if left is not None:
            listed = get_object_children_ids_from_object_content(object_content)
            chunks = [listed[i] for i in json.loads(get_object_body(object_content, Array))["arraychunk_ids"]]
            sizes = {name: len(chunk.data) for name, chunk in (children or {}).items() if isinstance(chunk, ArrayChunk)}
            left -= sum(sizes[chunk] for chunk in chunks)
            if left < 0:
                raise ValueError(f"arrays of {-left:,} bytes more than an honest reply may have")
            _LEFT.set(left)
        return Array.inflate(object_content, children)
