"""The column of labels, and the classes in it."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from collabdm.data.class_names import check_class_names, spelled_as, tell_kept_apart, tell_spelling
from collabdm.data.tabular.marks import of_no_class
from collabdm.data.tabular.raw import RawTable, as_texts, listed
from collabdm.data.tabular.schema import MOST_CLASSES
from collabdm.errors import DataError, explain

__all__ = ["classes_of", "label_column", "labels_in", "texts_of_labels"]

_USUAL = ("label", "labels", "class", "target", "y")


def label_column(raw: RawTable, asked: str | None) -> str:
    """The name of the column of labels: as asked, else the one that is usually called so. Raises `DataError`."""
    names = list(raw.columns)
    if asked is not None:
        if asked.strip() in names:
            return asked.strip()
        meant = spelled_as([asked], names)
        if asked in meant:
            return meant[asked]
        expected, fix = f"one of {listed(names, 60)}", "name the column of labels (--label COLUMN)"
        raise DataError(explain(f"label column of {raw.source}", got=asked, expected=expected, fix=fix))
    found = next((name for usual in _USUAL for name in names if name.casefold() == usual), None)
    if found is None:
        got = f"none called {', '.join(_USUAL)}"
        expected, fix = f"one of {listed(names, 60)}", "say which it is (--label COLUMN, load_table(..., label=...))"
        raise DataError(explain(f"label column of {raw.source}", got=got, expected=expected, fix=fix))
    return found


def texts_of_labels(raw: RawTable, label: str, declared: Sequence[str] = ()) -> np.ndarray:
    """The label of every row as a text, object [n]. Raises `DataError` for a measured value, and a missing label:
    nothing, or a mark that says so (`?`, `(empty)`) and is none of the `declared` classes."""
    values = raw.columns[label]
    if values.dtype != object:
        wrong = ~np.isnan(values) & (values != np.floor(values))
        if wrong.any():
            row = int(np.argmax(wrong))
            expected, fix = (
                "a class: text, or a whole number such as 3",
                "name another column; a measured value is none",
            )
            what = f"{raw.row(row)}, label column {label}"
            raise DataError(explain(what, got=values[row], expected=expected, fix=fix))
    texts = as_texts(values)
    if label in raw.marks:
        said = raw.marks[label]
        texts = np.where([text in declared for text in said.tolist()], said, texts)
    none = {text for text in set(texts.tolist()) if text is None or (of_no_class(text) and text not in declared)}
    if none:
        _refuse_missing(raw, label, np.array([text in none for text in texts.tolist()]), texts)
    return texts


def _refuse_missing(raw: RawTable, label: str, missing: np.ndarray, texts: np.ndarray) -> NoReturn:
    row, more = int(np.argmax(missing)), int(missing.sum()) - 1
    mark = texts[row] if texts[row] is not None else raw.marks[label][row] if label in raw.marks else None
    got = "nothing" if mark is None else f"{mark}, which stands for a missing value"
    got += f", and a label is missing in {more} further rows" if more else ""
    fix = "label every row, or drop it"
    if mark is not None:
        fix += "; where it is a class, write another word, or list it among the classes of the schema"
    raise DataError(explain(f"{raw.row(row)}, label column {label}", got=got, expected="a class", fix=fix))


def classes_of(source: str, label: str, texts: np.ndarray) -> tuple[str, ...]:
    """The distinct labels: numbers by size, all else by name; those that differ in capitals only are told. Raises
    `DataError` where they are no classes."""
    names = sorted(set(texts.tolist()))
    if len(names) > MOST_CLASSES or len(names) > max(len(texts) // 2, 20):
        got = f"{len(names)} different labels in {len(texts)} rows ({listed(names, 4)})"
        fix = "name the column of the classes (--label COLUMN), or make few classes of the values"
        raise DataError(explain(f"{source}, label column {label}", got=got, expected="a few classes", fix=fix))
    check_class_names(source, names)
    tell_kept_apart(f"{source}, label column {label}", Counter(texts.tolist()))
    if all(re.fullmatch(r"-?\d{1,15}", name) for name in names):
        names.sort(key=int)
    return tuple(names)


def labels_in(raw: RawTable, label: str, texts: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The place of every label among `classes`, int64 [n]. Raises `DataError` for a label that is none of them."""
    meant = spelled_as(texts.tolist(), classes)
    tell_spelling(raw.source, meant)
    place = {name: number for number, name in enumerate(classes)}
    for row, text in enumerate(texts.tolist()):
        if text not in place and text not in meant:
            expected = f"one of the {len(classes)} classes of the train part, or of the schema ({listed(classes)})"
            fix = "correct the label, or drop the row"
            raise DataError(explain(f"{raw.row(row)}, label column {label}", got=text, expected=expected, fix=fix))
    return np.array([place[meant.get(text, text)] for text in map(str, texts.tolist())], dtype=np.int64)
