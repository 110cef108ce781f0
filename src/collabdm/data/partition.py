"""One data set among K clients.

`dirichlet` is the paper's section 5.1: per class y, shares p_y ~ Dir(beta) over the clients, so that a client
may lack classes. `dirichlet-reserved` is what the authors' code does: every client first gets ipc samples of
every class, and only the rest is split, with a cap on the clients' sizes. Always say which of the two a
number used.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from collabdm.data.samples import Samples
from collabdm.data.site_names import site_names
from collabdm.errors import ConfigError, DataError, explain
from collabdm.randomness import Stream

__all__ = ["PartitionKind", "client_names", "partition_indices", "partition_table"]

PartitionKind = Literal["iid", "dirichlet", "dirichlet-reserved", "by-column", "single"]

_ATTEMPTS = 100
# The authors redraw until every client has ten samples; the paper's text says nothing.
_LEAST_RESERVED, _LEAST = 10, 1


def partition_indices(
    samples: Samples,
    *,
    kind: PartitionKind,
    clients: int | Sequence[str],
    beta: float,
    ipc: int,
    stream: Stream,
    column_values: np.ndarray | None = None,
    balance: bool = False,
) -> dict[str, np.ndarray]:
    """Every sample to exactly one client: client name -> its indices (int64, ascending), clients sorted.

    `clients` is a count (names `0`..`4`, `00`..`19`) or the names. `by-column` makes one client per value of
    `column_values` [n] (given names must be those values; a count is not used), `single` one client that has
    all. `beta` (smaller is more skewed), and `balance` (a client with n/K samples or more gets nothing of
    later classes) are for the two Dirichlet kinds, `ipc` for `dirichlet-reserved`, which always balances.

    Raises:
        ConfigError: the kind, `clients`, `beta` or `ipc` is out of range, or `by-column` has no column.
        DataError: a sample without a site in the column, more clients than samples, a class too small to reserve
            from, or no draw gave every client enough.
    """
    if kind == "by-column":
        return _by_column(samples, column_values, clients)
    names = client_names(1 if kind == "single" and isinstance(clients, int) else clients)
    if len(names) > len(samples):
        expected = f"at most {len(samples)}, the samples"
        raise DataError(explain("clients", got=len(names), expected=expected, fix="use fewer clients"))
    match kind:
        case "single":
            if len(names) != 1:
                raise ConfigError(
                    explain("clients of `single`", got=len(names), expected="one", fix="use another partition")
                )
            parts = [np.arange(len(samples))]
        case "iid":
            parts = np.array_split(stream.permutation(len(samples)), len(names))
        case "dirichlet":
            parts = _dirichlet(samples, len(names), beta, stream, reserve=0, balance=balance)
        case "dirichlet-reserved":
            if ipc < 1:
                raise ConfigError(explain("ipc", got=ipc, expected="1 or more", fix="raise ipc"))
            parts = _dirichlet(samples, len(names), beta, stream, reserve=ipc, balance=True)
        case _:
            raise ConfigError(
                explain(
                    "partition kind",
                    got=kind,
                    expected="iid, dirichlet, dirichlet-reserved, by-column or single",
                    fix="choose one of these",
                )
            )
    return {name: np.sort(part).astype(np.int64) for name, part in zip(names, parts, strict=True)}


def partition_table(samples: Samples, parts: dict[str, np.ndarray]) -> np.ndarray:
    """How many samples of each class each client has: int64 [clients, classes], in the order of `parts`."""
    size = len(samples.classes)
    rows = [np.bincount(samples.labels[part], minlength=size) for part in parts.values()]
    return np.array(rows, dtype=np.int64).reshape(len(parts), size)


def client_names(clients: int | Sequence[str]) -> list[str]:
    """Sorted distinct names: those given, or zero-padded numbers, whose text order is number order.

    Raises:
        ConfigError: no clients, or a name twice.
    """
    if isinstance(clients, str):
        fix = 'give a list of names, such as ["north", "south"], or their number'
        raise ConfigError(explain("client names", got=repr(clients)[:80], expected="several names", fix=fix))
    if isinstance(clients, int):
        if clients < 1:
            raise ConfigError(explain("clients", got=clients, expected="1 or more", fix="raise partition.clients"))
        width = len(str(clients - 1))
        return [f"{number:0{width}d}" for number in range(clients)]
    twice = [name for name, times in Counter(clients).items() if times > 1]
    if not clients or twice:
        raise ConfigError(
            explain(
                "client names", got=", ".join(twice) or "none", expected="distinct names", fix="name every client once"
            )
        )
    return sorted(clients)


def _by_column(samples: Samples, values: np.ndarray | None, clients: int | Sequence[str]) -> dict[str, np.ndarray]:
    if values is None:
        raise ConfigError(
            explain(
                "partition by-column",
                got="no column",
                expected="a column",
                fix="set partition.column to its name",
            )
        )
    if values.shape != (len(samples),):
        raise DataError(
            explain(
                "partition column",
                got=f"shape {list(values.shape)}",
                expected=f"[{len(samples)}], one value per sample",
                fix="use a column of the train part",
            )
        )
    texts = site_names(values, column="of the partition")
    found = sorted(set(texts.tolist()))
    if not isinstance(clients, int) and client_names(clients) != found:
        raise ConfigError(
            explain(
                "client names",
                got=", ".join(sorted(clients)),
                expected=f"the column's values: {', '.join(found)}",
                fix="leave out the names of clients (--clients, partition.clients): the column has them",
            )
        )
    return {name: np.flatnonzero(texts == name).astype(np.int64) for name in found}


def _dirichlet(
    samples: Samples, clients: int, beta: float, stream: Stream, *, reserve: int, balance: bool
) -> list[np.ndarray]:
    if not (math.isfinite(beta) and beta > 0):
        raise ConfigError(
            explain("beta", got=beta, expected="a finite number above 0", fix="use 0.1 for skewed, 100 for even")
        )
    generator = stream.generator()
    least = _LEAST_RESERVED if reserve else _LEAST
    members = [samples.of_class(label) for label in range(len(samples.classes))]
    for _ in range(_ATTEMPTS):
        shuffled = [generator.permutation(indices) for indices in members]
        reserved, rest = _reserve(shuffled, clients, reserve, samples.classes)
        parts = _draw(reserved, rest, beta, len(samples) / clients if balance else math.inf, generator)
        if min(len(part) for part in parts) >= least:
            return parts
    raise DataError(
        explain(
            f"Dirichlet partition of {len(samples)} samples",
            got=f"a client with fewer than {least} in each of {_ATTEMPTS} draws",
            expected=f"{least} or more for each of {clients} clients",
            fix=f"raise beta (now {beta:g}) or use fewer clients",
        )
    )


def _reserve(
    shuffled: list[np.ndarray], clients: int, reserve: int, classes: tuple[str, ...]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(per client the samples set aside for it, per class the rest). A class that nobody has is left out."""
    needed = clients * reserve
    for indices, name in zip(shuffled, classes, strict=True):
        if 0 < len(indices) < needed:
            raise DataError(
                explain(
                    f"samples of class {name}",
                    got=len(indices),
                    expected=f"{needed} ({clients} clients with {reserve} each)",
                    fix="use fewer clients, a smaller ipc, or partition `dirichlet`",
                )
            )
    aside = [
        np.concatenate([indices[client * reserve : (client + 1) * reserve] for indices in shuffled])
        for client in range(clients)
    ]
    return aside, [indices[needed:] for indices in shuffled]


def _draw(
    reserved: list[np.ndarray],
    rest: list[np.ndarray],
    beta: float,
    cap: float,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    parts = [[part] for part in reserved]
    sizes = np.array([len(part) for part in reserved])
    for indices in rest:
        if len(indices) == 0:
            continue
        shares = _shares(generator, beta, sizes < cap)
        # Cuts to the nearest sample: truncated, they would always give the last client one. Divided by
        # the last edge, rounding leaves nothing over for a client that was struck out.
        edges = np.cumsum(shares)
        pieces = np.split(indices, np.rint(edges[:-1] / edges[-1] * len(indices)).astype(np.int64))
        for part, piece in zip(parts, pieces, strict=True):
            part.append(piece)
        sizes += [len(piece) for piece in pieces]
    return [np.concatenate(part) for part in parts]


def _shares(generator: np.random.Generator, beta: float, open_to: np.ndarray) -> np.ndarray:
    """p ~ Dir(beta), the clients that are full struck out, the rest rescaled to sum to one."""
    shares = generator.dirichlet(np.full(len(open_to), beta)) * open_to
    total = shares.sum()
    if math.isfinite(total) and total > 0:
        return shares / total
    # A tiny beta underflows to nothing for every open client: the limit of Dir(beta) is then one client at
    # random.
    alone = generator.choice(np.flatnonzero(open_to))
    return (np.arange(len(open_to)) == alone).astype(np.float64)
