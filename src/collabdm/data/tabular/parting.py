"""Which rows of a table are for training and which for testing."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from collabdm.data.samples import Samples
from collabdm.data.splits import part_named, split_of
from collabdm.data.tabular.files import WHOLE
from collabdm.data.tabular.raw import RawTable, as_texts, listed
from collabdm.errors import ConfigError, DataError, DataWarning, explain
from collabdm.randomness import Stream

__all__ = ["SPLIT", "parted"]

SPLIT = "split"
"""A column of this name that says train or test of every row parts the table."""


def parted(
    source: str,
    tables: Mapping[str, RawTable],
    splits: Sequence[str],
    label: str,
    *,
    fraction: float | None,
    group: str | None,
) -> dict[str, RawTable]:
    """The asked `splits` (train, test) of a source's `tables`.

    A table without parts is either split; where both are asked, `fraction` of its rows are for testing, class by class,
    or whole values of the column `group`. Raises `DataError` or `ConfigError`.
    """
    tables = _by_column(source, tables)
    parts = {name: split_of(name) or name for name in tables}
    if len(tables) == 1 and fraction is not None and "test" not in parts.values():
        (whole,) = tables.values()
        train, test = _drawn(whole, label, fraction, group)
        if not len(test):
            got, fix = f"{fraction:g} of {len(whole)} rows, which is none", "choose a larger share, or give more rows"
            raise ConfigError(explain("--test-fraction", got=got, expected="a share of one row or more", fix=fix))
        chosen: dict[str, np.ndarray] = {"train": train, "test": test}
        return {split: whole.take(chosen[split], f"{whole.source} ({split})") for split in splits}
    if fraction is not None or group is not None:
        if fraction is None:
            fix = "pass --test-fraction too, for example 0.2"
            raise ConfigError(explain("--group", got=group, expected="a share of rows to test on", fix=fix))
        fix = "leave --test-fraction out, or give one file"
        raise ConfigError(explain("--test-fraction", got=f"{source} with a test part", expected="one table", fix=fix))
    if list(tables) == [WHOLE]:
        if len(splits) > 1:
            fix = "pass --test-fraction 0.2 (with --group COLUMN where rows belong together), or a folder with"
            fix += " train.csv and test.csv"
            raise DataError(explain(f"test data of {source}", got="none", expected="a test part", fix=fix))
        return {splits[0]: tables[WHOLE]}
    return {split: tables[part_named(source, split, tables, lambda _: True)] for split in splits}


def _by_column(source: str, tables: Mapping[str, RawTable]) -> Mapping[str, RawTable]:
    """One table parted by its column `SPLIT`, where that names parts in every row; which is told."""
    name = next((name for name in tables[WHOLE].columns if name.casefold() == SPLIT), None) if WHOLE in tables else None
    if name is None:
        return tables
    whole = tables[WHOLE]
    texts = as_texts(whole.columns[name])
    parts = np.array([split_of(text) if text is not None else None for text in texts.tolist()], dtype=object)
    found = sorted({str(part) for part in parts.tolist()})
    if "None" in found or "train" not in found or len(found) < 2:
        return tables
    counts = listed([f"{int((parts == part).sum())} {part}" for part in found])
    warnings.warn(DataWarning(f"{source}: parted by its column {name}: {counts}"), stacklevel=3)
    return {part: whole.take(np.flatnonzero(parts == part), f"{whole.source} ({part})") for part in found}


def _drawn(whole: RawTable, label: str, fraction: float, group: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(train, test) rows, ascending: the same for the same table, whatever the seed of a run."""
    stream = Stream(0, "tables", "split")
    if group is None:
        names, labels = np.unique(as_texts(whole.columns[label]).astype(str), return_inverse=True)
        values = np.zeros((len(whole), 1), dtype=np.float32)
        shadow = Samples(
            values=values, labels=labels.astype(np.int64).ravel(), classes=tuple(map(str, range(len(names))))
        )
        return shadow.split_indices(fraction, stream)
    if not 0 < fraction < 1:
        raise ConfigError(
            explain("--test-fraction", got=fraction, expected="between 0 and 1", fix="use 0.2 for a fifth")
        )
    if group not in whole.columns:
        expected = f"one of {listed(list(whole.columns), 60)}"
        raise DataError(explain(f"group column of {whole.source}", got=group, expected=expected, fix="correct --group"))
    names, of_row = np.unique(as_texts(whole.columns[group]).astype(str), return_inverse=True)
    if len(names) < 2:
        fix = "name a column with several groups, or leave --group out"
        raise DataError(explain(f"groups in {group} of {whole.source}", got=len(names), expected="at least 2", fix=fix))
    sizes, test = np.bincount(of_row.ravel()), np.zeros(len(names), dtype=bool)
    for one in stream.permutation(len(names))[:-1].tolist():
        # A group goes where it brings the share nearer; at least one is for testing.
        short = fraction * len(whole) - sizes[test].sum()
        if not test.any() or sizes[one] / 2 < short:
            test[one] = True
    chosen = test[of_row.ravel()]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
