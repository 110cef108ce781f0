"""The tables of an experiment: by data set, a row a cell, and methods by samples per class where both vary."""

from collections.abc import Sequence
from dataclasses import dataclass

from collabdm.modalities import MODALITIES
from collabdm.report.cells import CellRow, grouped
from collabdm.report.contests import contests, is_free, settings_held
from collabdm.report.wording import spread_text

__all__ = ["Group", "Matrix", "MatrixRow", "groups", "heads", "setting_text"]

_WORDS = {
    "ipc": "per class",
    "partition.kind": "partition",
    "partition.beta": "skew (beta)",
    "partition.clients": "clients",
    "plan.privacy.epsilon": "epsilon",
    "plan.seeds": "seeds",
    "evaluate.protocol": "judged by",
    "local.method": "local sets",
    "factors.row": "remembered",
    "factors.arriving": "sites arrive",
}
_MOST_OPEN = 20
_FREE = "\u2013"


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """One method: a (text, whether it is the column's best) a column, or `whole`: one text for all of them."""

    name: str
    cells: tuple[tuple[str, bool], ...] = ()
    whole: str = ""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Methods by samples per class; `title`: the other settings."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells about one data set: `heads` of the settings that vary in it, a tuple of texts a row, names of the best."""

    name: str
    plural: str
    heads: tuple[str, ...]
    rows: tuple[tuple[CellRow, tuple[str, ...]], ...]
    best: frozenset[str]
    matrices: tuple[Matrix, ...]

    @property
    def folded(self) -> bool:
        """Whether the rows are many and matrices say most of them."""
        return bool(self.matrices) and len(self.rows) > _MOST_OPEN


def groups(rows: Sequence[CellRow], keys: Sequence[str], *, named: bool) -> list[Group]:
    """By data set, in the order of the rows; `keys`: what varies in the experiment; `named`: one factor at a time, so
    that all cells of a data set are held against one another."""
    return [_group(name, inside, keys, named=named) for name, inside in grouped(rows)]


def heads(keys: Sequence[str]) -> tuple[str, ...]:
    """What keys are called above a column: in words, or by their last part where that is no other's too."""
    short = [_WORDS.get(key) or (key.rpartition(".")[2] if key.count(".") == 1 else key) for key in keys]
    return tuple(key if short.count(name) > 1 else name for key, name in zip(keys, short, strict=True))


def setting_text(keys: Sequence[str], values: Sequence[str]) -> str:
    """`skew (beta) 0.1, 5 clients`."""
    told = {"partition.clients": "{} clients", "partition.kind": "{}", "ipc": "{} per class"}
    named = zip(keys, heads(keys), values, strict=True)
    return ", ".join(told.get(key, f"{head} {{}}").format(value) for key, head, value in named if value)


def _group(name: str, rows: Sequence[CellRow], keys: Sequence[str], *, named: bool) -> Group:
    held = settings_held(rows, keys)
    found = contests(rows, [] if named else held)
    return Group(
        name=name,
        plural=_plural(rows),
        heads=heads(held),
        rows=tuple((row, tuple(_text(row, key) for key in held)) for row in rows),
        best=frozenset().union(*(one.best for one in found)),
        matrices=() if named else _matrices(rows, held),
    )


def _text(row: CellRow, key: str) -> str:
    return _FREE if is_free(row, key) else row.settings.get(key, "")


def _matrices(rows: Sequence[CellRow], held: Sequence[str]) -> tuple[Matrix, ...]:
    sized = [row for row in rows if not is_free(row, "ipc")]
    if "ipc" not in held or len({row.method for row in sized}) < 2:
        return ()
    methods = list(dict.fromkeys(row.method for row in rows))
    others = [key for key in held if key != "ipc"]
    return tuple(
        _matrix(setting_text(others, one.setting), one.rows, methods)
        for one in contests(rows, others)
        if len({row.method for row in one.rows}) > 1
    )


def _matrix(title: str, rows: Sequence[CellRow], methods: Sequence[str]) -> Matrix:
    """Of cells with the same settings but for the method and size; `methods`: the order in all matrices."""
    sized = [row for row in rows if not is_free(row, "ipc")]
    sizes = sorted({row.settings["ipc"] for row in sized}, key=int)
    best = {one.setting[0]: one.best for one in contests(sized, ["ipc"])}
    found = {(row.method, row.settings["ipc"]): row for row in reversed(sized)}
    made = []
    for method in methods:
        line = [found.get((method, size)) for size in sizes]
        if not any(line):
            continue
        cells = tuple(
            ("", False) if row is None else (_accuracy(row), row.cell.cell in best[size])
            for row, size in zip(line, sizes, strict=True)
        )
        made.append(MatrixRow(name=method, cells=cells))
    free = sorted((row for row in rows if is_free(row, "ipc")), key=lambda row: methods.index(row.method))
    made += [MatrixRow(name=row.method, whole=_accuracy(row)) for row in free]
    return Matrix(title=title, columns=tuple(sizes), rows=tuple(made))


def _accuracy(row: CellRow) -> str:
    accuracy = row.cell.accuracy
    assert accuracy is not None
    return spread_text(accuracy.mean, accuracy.std, len(accuracy.networks))


def _plural(rows: Sequence[CellRow]) -> str:
    """What samples are called; records of earlier versions name no modality and are of images."""
    kind = MODALITIES.get(rows[0].settings.get("modality", "images"))
    return kind.plural if kind is not None else "samples"
