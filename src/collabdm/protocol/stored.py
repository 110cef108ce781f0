"""Contributions that lie in files: each is read when it is looked at, so that never all of them lie in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from collabdm.protocol.answer import Contribution

__all__ = ["HELD_BYTES", "StoredContributions", "StoredInOrder", "in_order"]

HELD_BYTES = 256 * 2**20
"""What is held of them in memory, so that those of an ordinary round are read once."""


class StoredContributions(Mapping[str, Contribution]):
    """Contributions by client, each of one client's own data, already checked against their plan.

    `read` gives a client's, the same each time, or raises `ContributionError` where its file is no longer what it was.
    Those that were read first stay in memory, up to `HELD_BYTES`.
    """

    def __init__(self, clients: Iterable[str], read: Callable[[str], Contribution]) -> None:
        """`clients`: those that there are, in any order."""
        self._clients, self._read = sorted(clients), read
        self._known = frozenset(self._clients)
        self._held = dict[str, Contribution]()
        self._left = HELD_BYTES

    def __getitem__(self, client: str) -> Contribution:
        if client in self._held:
            return self._held[client]
        if client not in self._known:
            raise KeyError(client)
        found = self._read(client)
        self.offer(found)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def offer(self, one: Contribution) -> None:
        """One that was read just now, to be held if there is room."""
        size = one.statistics.nbytes + one.samples.nbytes
        size += one.gram.means.nbytes + one.gram.scatter.nbytes if one.gram else 0
        if size <= self._left and one.client in self._known and one.client not in self._held:
            self._held[one.client] = one
            self._left -= size

    def only(self, clients: Iterable[str]) -> "StoredContributions":
        """The same of these clients alone, with what is held already."""
        fewer = StoredContributions(clients, self._read)
        for client in fewer:
            if client in self._held:
                fewer.offer(self._held[client])
        return fewer

    @property
    def answers(self) -> "StoredInOrder":
        """All of them as a sequence, in sorted order."""
        return StoredInOrder(tuple(self._clients), self)

    def changed(self, *, without: str | None = None, beside: Contribution | None = None) -> "StoredInOrder":
        """The sequence that there is `without` one client's, or with another contribution `beside` them."""
        clients = [client for client in self._clients if client != without]
        if beside is not None:
            clients = sorted([*clients, beside.client])
        return StoredInOrder(tuple(clients), self, beside)


class StoredInOrder(Sequence[Contribution]):
    """Read one after another."""

    def __init__(
        self, clients: tuple[str, ...], stored: StoredContributions, beside: Contribution | None = None
    ) -> None:
        self.clients, self._stored, self._beside = clients, stored, beside

    def __getitem__(self, place: int) -> Contribution:  # pyright: ignore[reportIncompatibleMethodOverride]
        client = self.clients[place]
        if self._beside is not None and client == self._beside.client:
            return self._beside
        return self._stored[client]

    def __len__(self) -> int:
        return len(self.clients)


def in_order(contributions: Iterable[Contribution]) -> Sequence[Contribution]:
    """The contributions by client, sorted; what is read one after another is so already."""
    if isinstance(contributions, StoredInOrder):
        return contributions
    return sorted(contributions, key=lambda one: one.client)
