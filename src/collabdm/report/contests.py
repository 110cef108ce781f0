"""Which cells of an experiment are to be held against one another, and which of those is best."""

from collections.abc import Sequence
from dataclasses import dataclass

from collabdm.methods import METHODS
from collabdm.report.ceiling import is_full
from collabdm.report.cells import CellRow

__all__ = ["Contest", "contests", "is_free", "settings_held"]

# Of one method alone they are its own affair; whatever else differs makes accuracies incomparable.
_OWN = ("local.", "rivals.", "server.")
_OF_ROUNDS = ("plan.", "local.", "server.")


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Cells of the same settings but for the method. `setting`: its values of the keys that were asked for."""

    setting: tuple[str, ...]
    rows: tuple[CellRow, ...]

    @property
    def best(self) -> frozenset[str]:
        """Names of the cells that no other one is above, as accuracies are shown; none where there is no rival.

        Training on all data is no method of the table but its ceiling.
        """
        shown = {row.cell.cell: _shown(row) for row in self.rows if not is_full(row.method)}
        top = max(shown.values(), default=0.0)
        return frozenset(name for name, value in shown.items() if value == top) if len(shown) > 1 else frozenset()


def contests(rows: Sequence[CellRow], keys: Sequence[str]) -> list[Contest]:
    """One for each setting of `keys` (those of `settings_held`) that some cell of `rows` has.

    A cell that does not depend on a key (`is_free`) is in the contests of all its values.
    """
    settings = dict.fromkeys(
        _values(row, keys) for row in rows if not any(is_free(row, key) for key in keys)
    ) or dict.fromkeys(_values(row, keys) for row in rows)
    return [
        Contest(setting=setting, rows=tuple(row for row in rows if _belongs(row, setting, keys)))
        for setting in settings
    ]


def settings_held(rows: Sequence[CellRow], keys: Sequence[str]) -> list[str]:
    """Those of `keys` (all that vary in the experiment) that vary in `rows` and are not one method's own."""
    return [key for key in keys if len(_found(rows, key)) > 1 and not _is_own(rows, key)]


def is_free(row: CellRow, key: str) -> bool:
    """Whether the cell does not depend on what `key` says, whatever stands in its settings."""
    method = METHODS.get(row.method)
    if key.startswith("partition."):
        pooled = row.cell.partition is not None and row.cell.partition.kind == "pooled"
        return pooled or (method is not None and method.central)
    if key == "ipc":
        # That partition keeps so many samples of each class at a client as its set will have.
        reserved = row.settings.get("partition.kind") == "dirichlet-reserved"
        return is_full(row.method) or (row.cell.product == "model" and not reserved)
    return method is not None and method.source in ("real", "full") and key.startswith(_OF_ROUNDS)


def _found(rows: Sequence[CellRow], key: str) -> set[str]:
    return {row.settings.get(key, "") for row in rows if not is_free(row, key)}


def _is_own(rows: Sequence[CellRow], key: str) -> bool:
    """Whether it is a setting of the methods themselves, of which each has one value."""
    methods = {row.method for row in rows}
    return (
        key.startswith(_OWN)
        and len(methods) > 1
        and all(len(_found([row for row in rows if row.method == method], key)) < 2 for method in methods)
    )


def _values(row: CellRow, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(row.settings.get(key, "") for key in keys)


def _belongs(row: CellRow, setting: tuple[str, ...], keys: Sequence[str]) -> bool:
    pairs = zip(keys, setting, strict=True)
    return all(is_free(row, key) or row.settings.get(key, "") == value for key, value in pairs)


def _shown(row: CellRow) -> float:
    assert row.cell.accuracy is not None
    return round(100 * row.cell.accuracy.mean, 1)
