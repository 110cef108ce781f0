"""What a reader of series hands on: arrays as found, and classes that are settled for all parts together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from collabdm.data.class_names import check_class_names, spelled_as, tell_kept_apart, tell_spelling
from collabdm.data.labels import settled_labels
from collabdm.data.samples import Samples
from collabdm.data.splits import part_named
from collabdm.errors import DataError, explain

__all__ = ["WHOLE", "Choose", "RawSeries", "SeriesPart", "chosen_parts", "settled_parts"]

WHOLE = "all"
"""The part of a source that names none: it is whichever single split is asked for."""


Choose = Callable[[Iterable[str]], Mapping[str, str]]
"""From the names of a source's parts to the one that is each split asked for: only these are read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesPart:
    """One part: series float32 [n, C, T], NaN after their ends and in gaps; labels [n], whole numbers or text; further
    columns [n]. `place`: for messages, the file in which a series stands, and where."""

    values: np.ndarray
    labels: np.ndarray
    place: Callable[[int], str]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class RawSeries:
    """The parts by name. Labels are positions in `classes` or names of them; where that is None, values.

    `facts`: what is declared of the samples beside their size; `most`: the steps to which a plan stretches longer ones;
    `passed`: how much was found that is not read, by why.
    """

    name: str
    classes: tuple[str, ...] | None
    parts: Mapping[str, SeriesPart]
    facts: Mapping[str, Any] = field(default_factory=dict)
    most: int | None = None
    passed: Mapping[str, int] = field(default_factory=dict)


def chosen_parts(source: str, splits: Sequence[str], parts: Iterable[str]) -> dict[str, str]:
    """The part that is each of the `splits`; one that names none is the train part, or whichever is asked for alone."""
    parts = list(parts)
    if parts == [WHOLE] and len(splits) == 1:
        return {splits[0]: WHOLE}
    names = ["train" if part == WHOLE else part for part in parts]
    if len(set(names)) < len(names):
        names = [part for part in parts if part != WHOLE]
    chosen = {split: part_named(source, split, names, lambda _: True) for split in splits}
    return {split: part if part in parts else WHOLE for split, part in chosen.items()}


def settled_parts(source: str, raw: RawSeries, chosen: Mapping[str, str]) -> dict[str, Samples]:
    """The samples of each split, of the part that is `chosen` for it. Without declared classes these are the distinct
    labels of the first, sorted.

    Raises:
        DataError: a part without series, a series that holds infinity or nothing, a label that is missing or of no
            known class, a name that cannot be shown.
    """
    named = {split: f"{source} ({split})" for split in chosen}
    for split, part in chosen.items():
        if not len(raw.parts[part].labels):
            fix = "check that the data are complete"
            raise DataError(explain(f"series of {named[split]}", got=0, expected="at least one", fix=fix))
        _check_values(raw.parts[part])
    labels = {split: settled_labels(named[split], raw.parts[part].labels) for split, part in chosen.items()}
    first = next(iter(labels.values()))
    found = list(range(len(raw.classes))) if raw.classes is not None else np.unique(first).tolist()
    classes = raw.classes if raw.classes is not None else tuple(str(value) for value in found)
    check_class_names(source, classes)
    by_name = {name: position for position, name in enumerate(classes)}
    by_value = {value: position for position, value in enumerate(found)}
    samples = {}
    for split, own in labels.items():
        lookup = by_name if own.dtype.kind == "U" else by_value
        positions = _positions(named[split], own, lookup, raw.parts[chosen[split]].place)
        samples[split] = Samples(values=raw.parts[chosen[split]].values, labels=positions, classes=classes)
    known = next(iter(samples.values()))
    tell_kept_apart(source, dict(zip(classes, known.counts().tolist(), strict=True)))
    return samples


def _check_values(part: SeriesPart) -> None:
    """Here the file is known in which it stands; the same values without a file are refused by the modality."""
    for got, wrong, expected in (
        (
            "infinity, or a number too large for 32 bits",
            np.isinf(part.values).any(axis=(1, 2)),
            "finite numbers, or NaN for a gap",
        ),
        ("nothing but NaN", np.isnan(part.values).all(axis=(1, 2)), "a value"),
    ):
        if wrong.any():
            what = f"series of {part.place(int(np.argmax(wrong)))}"
            raise DataError(explain(what, got=got, expected=expected, fix="repair the series, or drop it"))


def _positions(source: str, labels: np.ndarray, lookup: Mapping[Any, int], place: Callable[[int], str]) -> np.ndarray:
    listed = labels.tolist()
    meant: dict[str, str] = {}
    if labels.dtype.kind == "U":
        meant = spelled_as(listed, [str(name) for name in lookup])
        tell_spelling(source, meant)
    for row, value in enumerate(listed):
        if value not in lookup and value not in meant:
            names = ", ".join(map(str, list(lookup)[:12])) + (", ..." if len(lookup) > 12 else "")
            got = value if value != "" else "nothing"
            expected, fix = f"one of {names}", "correct the label, or drop the row"
            raise DataError(explain(f"label of {place(row)}", got=got, expected=expected, fix=fix))
    return np.array([lookup[meant.get(value, value)] for value in listed], dtype=np.int64)
