"""The labels of a set that somebody else made, as positions among the classes of the data set, and its soft labels."""

import re
from collections.abc import Sequence

import numpy as np

from collabdm.data.class_names import spelled_as
from collabdm.data.labels import class_of_rows, settled_labels
from collabdm.errors import DataError, explain

__all__ = ["class_positions", "hard_labels", "in_order", "probabilities"]

# Rows of probabilities that were kept in 16 bits sum to one within a percent; rows of logits all do so by no chance.
_FROM_ONE = 0.02


def class_positions(source: str, names: Sequence[str], classes: Sequence[str]) -> tuple[dict[str, int], str]:
    """By its name in the set, the position of each class among those of the data set, and a note.

    A name is the class's own, or spelled otherwise, or of letters and digits that are the same, also behind a number
    and a dash (`03-cat`); or all names are numbers (`0`, `00003`), which are positions.

    Raises:
        DataError: a name that is none of these, or two names for one class.
    """
    for told, meaning in (
        ("", _by_name(names, classes)),
        ("names of classes are taken for those that they are spelled like", _by_letters(names, classes)),
        ("names of classes are numbers: positions among the classes of the data set", _by_number(names, classes)),
    ):
        if all(name in meaning for name in names) and len({meaning[name] for name in names}) == len(names):
            return {name: meaning[name] for name in names}, told
    known = _by_letters(names, classes)
    got = _listed([name for name in names if name not in known] or names)
    expected = f"the classes of the data set ({_listed(classes)}), or their positions from 0"
    raise DataError(explain(f"classes of {source}", got=got, expected=expected, fix="rename the classes"))


def hard_labels(source: str, labels: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, str]:
    """Labels [n], [n, 1] or one-hot [n, classes], numbers or text, as positions int64 [n], and a note.

    Raises:
        DataError: no labels of these classes.
    """
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = class_of_rows(f"labels of {source}", labels)
    flat = labels.reshape(-1) if labels.ndim <= 2 else labels
    if flat.ndim != 1 or flat.dtype.kind not in "biufUS":
        got, expected = f"{labels.dtype} {list(labels.shape)}", "one class per image, [n]"
        raise DataError(explain(f"labels of {source}", got=got, expected=expected, fix="store them so"))
    if flat.dtype.kind in "US":
        text = np.char.decode(flat, "utf-8", "replace") if flat.dtype.kind == "S" else flat
        positions, told = class_positions(source, sorted(set(text.tolist())), classes)
        return np.array([positions[name] for name in text.tolist()], np.int64), told
    whole = settled_labels(source, flat)
    if len(whole) and int(whole.max()) >= len(classes):
        got, fix = f"{int(whole[whole >= len(classes)][0])}", "count the classes from 0, in the order of the data set"
        expected = f"0 to {len(classes) - 1}, positions among the {len(classes)} classes of the data set"
        row = int(np.argmax(whole >= len(classes)))
        raise DataError(explain(f"label of {source}, row {row}", got=got, expected=expected, fix=fix))
    return whole, ""


def in_order(source: str, count: int, classes: Sequence[str]) -> tuple[np.ndarray, str]:
    """Labels of a set that has none: as many of each class, one class after the other, as the literature stores them.

    Raises:
        DataError: the images are no multiple of the classes.
    """
    each, left = divmod(count, len(classes))
    if left or not each:
        got, fix = f"none, for {count} images", "give labels: in the file, or as a file of their own (--labels)"
        expected = f"labels, or a multiple of {len(classes)} images"
        raise DataError(explain(f"labels of {source}", got=got, expected=expected, fix=fix))
    told = f"no labels: the images are taken for {each} of each class in the order of the data set"
    return np.repeat(np.arange(len(classes), dtype=np.int64), each), told


def probabilities(source: str, soft: np.ndarray, count: int, classes: int) -> tuple[np.ndarray, str]:
    """Soft labels [n, classes] as float32 rows that sum to one, and a note on what they were taken for.

    Raises:
        DataError: another shape, or numbers that are not finite.
    """
    if soft.shape != (count, classes) or soft.dtype.kind not in "biuf":
        got, expected = f"{soft.dtype} {list(soft.shape)}", f"[{count}, {classes}], a row for each image"
        raise DataError(explain(f"soft labels of {source}", got=got, expected=expected, fix="store them so"))
    values = soft.astype(np.float64)
    if not np.isfinite(values).all():
        fix = "repair or drop the image"
        raise DataError(explain(f"soft labels of {source}", got="NaN or infinity", expected="numbers", fix=fix))
    sums = values.sum(axis=1, keepdims=True)
    if (values >= 0).all() and (np.abs(sums - 1) <= _FROM_ONE).all():
        return (values / sums).astype(np.float32), "soft labels are probabilities"
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    told = "soft labels are no probabilities: taken for logits, by their softmax at temperature 1"
    return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32), told


def _by_name(names: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    position = {name: index for index, name in enumerate(classes)}
    meant = spelled_as(names, classes)
    return {name: position[meant.get(name, name)] for name in names if meant.get(name, name) in position}


def _by_letters(names: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    position = {_letters(name): index for index, name in enumerate(classes)}
    if len(position) < len(classes) or "" in position:
        return {}
    found = {}
    for name in names:
        bare = re.sub(r"^\d+[-_. ]", "", name)
        hit = next((position[key] for key in (_letters(name), _letters(bare)) if key in position), None)
        if hit is not None:
            found[name] = hit
    return found


def _by_number(names: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    numbers = {name: int(name) for name in names if re.fullmatch(r"\d{1,9}", name, re.ASCII)}
    return {name: number for name, number in numbers.items() if number < len(classes)}


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
