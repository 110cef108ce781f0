"""What one holder has: labelled images, checked once at the door."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from collabdm.data.class_names import same_look, spelled_as, tell_spelling
from collabdm.data.presets import Preset
from collabdm.errors import ConfigError, DataError, did_you_mean, explain, printable
from collabdm.randomness import Stream

__all__ = ["Dataset", "Samples"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Labelled samples.

    `values`: as the modality stores them; images are uint8 [n, C, H, W], or float32 [n, C, H, W] in [0, 1]. `labels`:
    int64 [n] in [0, len(classes)); `classes`: distinct names, whether held or not. May be empty. The constructor checks
    types, shapes and labels; images from outside go through `checked_samples`, which also looks at the pixels.
    `any_range`: the values may lie outside the modality's usual range, since their file says which they have (images of
    a distilled set).

    Raises:
        DataError: a part is of another type or shape, or a label is outside the classes.
    """

    values: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    any_range: bool = False

    def __post_init__(self) -> None:
        """Check every part; `classes` may be given as a list."""
        object.__setattr__(self, "classes", _class_names(self.classes))
        _check_arrays(self.values, self.labels)
        _check_values(self.values)
        _check_labels(self.values, self.labels, self.classes)
        # The layout of memory, even the stride of an axis of length one, decides how a convolution adds up: the same
        # values must lie in the same way, or a site's own file would differ in the last bit from a part of a data set.
        flat = np.ascontiguousarray(self.values).ravel()
        object.__setattr__(self, "values", flat.reshape(self.values.shape))

    def __repr__(self) -> str:
        counts = [f"{name} {count}" for name, count in zip(self.classes, self.counts().tolist(), strict=True)]
        held = f"{len(self)} of {self.values.dtype} {list(self.shape)}, {len(counts)} classes"
        return printable(f"Samples({held}: {_listed(counts)})")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one stored sample, (C, H, W) for images."""
        return self.values.shape[1:]

    def take(self, indices: np.ndarray | Sequence[int]) -> "Samples":
        """The samples at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(self, values=self.values[chosen], labels=self.labels[chosen])

    def digest(self) -> str:
        """SHA-256 over values and labels, in hex: by it, results are kept that depend on the data."""
        digest = hashlib.sha256(f"{self.values.dtype}{self.values.shape}".encode())
        digest.update(np.ascontiguousarray(self.values).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()

    def counts(self) -> np.ndarray:
        """Samples held per class, int64 [classes]."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def of_class(self, label: int) -> np.ndarray:
        """Indices of the samples of one class, int64, ascending."""
        return np.flatnonzero(self.labels == label).astype(np.int64)

    def with_classes(self, classes: Sequence[str]) -> "Samples":
        """The same samples, labelled by position in `classes` (a plan's, say), matched by name.

        Classes that nobody here holds may be missing from `classes`, and `classes` may have more. A name that only
        differs in its capitals, outer spaces or the making of its accents is taken for the other, with a `DataWarning`.

        Raises:
            DataError: a held class is not among `classes`.
        """
        position = {name: index for index, name in enumerate(classes)}
        held = {name: int(count) for name, count in zip(self.classes, self.counts(), strict=True) if count}
        meant = spelled_as(list(held), classes)
        unknown = [name for name in held if name not in position and name not in meant]
        if unknown:
            raise DataError(
                explain(
                    "class names of the data",
                    got=_listed([f"{name} ({held[name]} of {len(self)} samples)" for name in unknown]),
                    expected=f"among {_listed(classes)}",
                    fix=did_you_mean(
                        unknown[0], classes, "name the classes as the plan does (in an .npz: a string array `classes`)"
                    ),
                )
            )
        # Not two classes into one: where both Cat and cat are held, only one of them can be the plan's.
        tell_spelling("class names of the data", meant)
        lookup = np.array([position.get(meant.get(name, name), 0) for name in self.classes], dtype=np.int64)
        return replace(self, labels=lookup[self.labels], classes=tuple(classes))

    def split(self, fraction: float, stream: Stream) -> tuple["Samples", "Samples"]:
        """(kept, held out): `split_indices`, taken. For choosing settings without the test set."""
        kept, held_out = self.split_indices(fraction, stream)
        return self.take(kept), self.take(held_out)

    def split_indices(self, fraction: float, stream: Stream) -> tuple[np.ndarray, np.ndarray]:
        """(kept, held out) index arrays, ascending, stratified by class.

        The held-out part has round(fraction * n) samples, shared among the classes by largest remainder; no
        class is held out whole, so it may have fewer where classes are tiny.

        Raises:
            ConfigError: `fraction` is not strictly between 0 and 1.
        """
        if not 0 < fraction < 1:
            raise ConfigError(
                explain("held-out fraction", got=fraction, expected="between 0 and 1", fix="use 0.1 for a tenth")
            )
        counts = self.counts()
        quota = counts * fraction
        take = np.floor(quota).astype(np.int64)
        short = round(fraction * len(self)) - int(take.sum())
        take[np.argsort(take - quota, kind="stable")[:short]] += 1
        take = np.minimum(take, np.maximum(counts - 1, 0))
        chosen = [members[stream.choose(len(members), k)] for members, k in self._by_class(take)]
        held_out = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)
        return np.setdiff1d(np.arange(len(self)), held_out), held_out

    def _by_class(self, take: np.ndarray) -> list[tuple[np.ndarray, int]]:
        return [(self.of_class(label), int(count)) for label, count in enumerate(take)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A loaded data set.

    `columns` are the further columns of the train part by name, each [len(train)] (a station, a speaker), for
    natural partitions. A part that was not asked for is empty. `facts`, plain JSON, say how the images were made where
    that must be known to make more of them (`flows`); they go into everything that is made from the data. `reading`,
    plain JSON: how many samples of each part were `read`, and how much was `passed_over`, by why. `site`: which
    of the columns names each sample's site, where that was said.
    """

    name: str
    train: Samples
    test: Samples
    preset: Preset
    columns: Mapping[str, np.ndarray]
    facts: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    site: str | None = None

    def __repr__(self) -> str:
        classes, shape = len(self.train.classes), list(self.train.shape)
        parts = f"{len(self.train)} train and {len(self.test)} test samples {shape} of {classes} classes"
        return printable(f"Dataset({self.name}: {parts})")


def _class_names(classes: Any) -> tuple[str, ...]:
    """The names as a tuple; `DataError` where they are no sequence of text."""
    expected, fix = "a tuple of names", 'give the names one by one, as in ("cat", "dog")'
    if isinstance(classes, str | bytes) or not isinstance(classes, Sequence | np.ndarray):
        got = f"the text {classes}" if isinstance(classes, str) else type(classes).__name__
        raise DataError(explain("class names", got=got, expected=expected, fix=fix))
    for name in classes:
        if not isinstance(name, str):
            got = f"{name!r}, a {type(name).__name__}"
            raise DataError(explain("class names", got=got, expected="text", fix="convert it with str"))
    return classes if isinstance(classes, tuple) else tuple(map(str, classes))


def _check_arrays(values: Any, labels: Any) -> None:
    for name, given, form in (("samples", values, "uint8 or float32 [n, ...]"), ("labels", labels, "int64 [n]")):
        if not isinstance(given, np.ndarray):
            expected, fix = f"a NumPy array, {form}", "convert it with numpy.asarray"
            raise DataError(explain(name, got=f"a {type(given).__name__}", expected=expected, fix=fix))


def _check_values(values: np.ndarray) -> None:
    if values.ndim < 2 or 0 in values.shape[1:] or values.dtype not in (np.uint8, np.float32):
        raise DataError(
            explain(
                "samples",
                got=f"{values.dtype} {list(values.shape)}",
                expected="uint8 or float32 [n, ...] (images: [n, C, H, W])",
                fix="convert the array",
            )
        )


def _check_labels(values: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    if labels.dtype != np.int64 or labels.shape != (len(values),):
        raise DataError(
            explain(
                "labels",
                got=f"{labels.dtype} {list(labels.shape)}",
                expected=f"int64 [{len(values)}]",
                fix="give one integer per sample",
            )
        )
    if len(set(classes)) != len(classes):
        raise DataError(
            explain("class names", got=_listed(classes), expected="distinct names", fix="rename the duplicates")
        )
    alike = same_look(classes)
    if alike:
        first, second = (f"{name} ({name.encode('unicode-escape').decode()})" for name in alike)
        expected = "names that differ to the eye (these differ only in how accents, spaces or joiners are coded)"
        fix = "rename one of them, or make them one class"
        raise DataError(explain("class names", got=f"{first} and {second}", expected=expected, fix=fix))
    outside = (labels < 0) | (labels >= len(classes))
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(
            explain(
                f"label of row {row}",
                got=int(labels[row]),
                expected=f"0 to {len(classes) - 1} ({len(classes)} classes)",
                fix="correct the label, drop the row, or declare the class",
            )
        )


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > most else shown
