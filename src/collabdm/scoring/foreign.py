"""A set that somebody else made, read as a data set's own samples: what is scored."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collabdm.data import Samples, load_dataset
from collabdm.data.npz import arrays_of
from collabdm.errors import DataError, DataWarning, explain
from collabdm.images.modality import Images
from collabdm.modality import Modality
from collabdm.scoring.labels import class_positions, hard_labels, in_order, probabilities
from collabdm.scoring.parts import Parts, label_parts, parts_of
from collabdm.scoring.pixels import Levels, fitted, ordered, unit_pixels
from collabdm.storage.reading import opened_regular
from collabdm.storage.torch_file import is_torch_file, tree_in

__all__ = ["ForeignSet", "read_foreign"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignSet:
    """Samples float32 [n, *shape] as networks see them, labels int64 [n] among the classes of the data set, and where
    it has soft labels `targets`, float32 [n, classes]. `assumed`: what was taken for what, a line each."""

    source: str
    samples: Tensor
    labels: Tensor
    targets: Tensor | None = None
    assumed: tuple[str, ...] = ()

    def counts(self, classes: int) -> list[int]:
        """How many samples each of so many classes has."""
        return torch.bincount(self.labels, minlength=classes).tolist()


def read_foreign(
    source: str,
    *,
    sample: Modality,
    classes: tuple[str, ...],
    labels: str | None = None,
    levels: Levels = "auto",
    resize: bool = False,
    options: Mapping[str, Any] | None = None,
) -> ForeignSet:
    """The set at `source`, for data of such `sample`s and `classes`.

    An `.npz` or `.npy`, or a `.pt` that is never unpickled; else whatever `collabdm.data.load_dataset` reads, of which
    the train part is the set: folders of images by class, archives, hub names; of other samples their own files.
    `labels`: a file (`.pt`, `.npz`, `.npy`) of labels or soft labels in the order of the images. `levels`, `resize`: of
    images, as in `scoring.pixels`; `options`: of the reader.

    Raises:
        DataError: it cannot be read, has no labels of these classes, or does not fit the samples.
    """
    path = Path(source).expanduser()
    if isinstance(sample, Images) and (path.suffix.lower() in (".npz", ".npy") or is_torch_file(path)):
        parts = parts_of(source, _tree(source))
        return _of_parts(source, parts, labels, sample, classes, levels=levels, resize=resize)
    if is_torch_file(path) or (levels != "auto" and not isinstance(sample, Images)):
        got, fix = f"{sample.plural}, not images", "give the set in the form that the data set has, and no --levels"
        raise DataError(explain(f"set {source}", got=got, expected="a set of images for this", fix=fix))
    read, told = _loaded(source, sample, dict(options or {}))
    positions, note = class_positions(source, _held(read), classes)
    lookup = np.array([positions.get(name, 0) for name in read.classes], np.int64)
    values, notes = read.values, [*told, note]
    if isinstance(sample, Images):
        if levels not in ("auto", "bytes"):
            fix = "leave --levels out"
            raise DataError(explain(f"set {source}", got=f"--levels {levels}", expected="files of images", fix=fix))
        values, more = fitted(f"images of {source}", values, sample.shape, resize=resize)
        notes += more
    else:
        sample.check(read.shape)
    own = Parts(labels=lookup[read.labels], soft=_soft_column(source, len(read)))
    return _labelled(source, own, labels, sample.tensors(values, device="cpu", dtype=torch.float32), classes, notes)


def _loaded(source: str, sample: Modality, options: dict[str, Any]) -> tuple[Samples, list[str]]:
    """The train part, and what its reader warned of."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", DataWarning)
        data = load_dataset(source, splits=("train",), modality=sample.kind, options=options, sample=sample)
    # Of anything else, whoever reads the process's warnings is told as ever.
    for one in raised:
        if not issubclass(one.category, DataWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return data.train, [str(one.message) for one in raised if issubclass(one.category, DataWarning)]


def _soft_column(source: str, rows: int) -> np.ndarray | None:
    """The soft labels, [rows, m], of a Hugging Face data set that was saved to disk or exported, in a column of lists
    called `targets`, `soft_labels`, `soft_label`, `probs` or `logits`; None where there are none."""
    folder = Path(source).expanduser()
    exported = folder / "train.parquet"
    if not (folder / "state.json").is_file() and not exported.is_file():
        return None
    import datasets

    from collabdm.data.quiet import quietly

    with quietly():
        table: Any = (
            datasets.Dataset.from_parquet(str(exported), keep_in_memory=True)
            if exported.is_file()
            else datasets.load_from_disk(str(folder)).with_format(None)
        )
        name = next((name for name in _SOFT_COLUMNS if name in table.column_names), None)
        values = None if name is None else table.select_columns([name])[:][name]
    if values is None or len(values) != rows:
        return None
    if not all(isinstance(one, list) and len(one) == len(values[0]) for one in values):
        got, fix = f"column {name} without a list of one length in every row", "repair or drop the column"
        raise DataError(explain(f"soft labels of {source}", got=got, expected="a number for each class", fix=fix))
    return np.array(values, np.float64)


_SOFT_COLUMNS = ("targets", "soft_labels", "soft_label", "probs", "logits")


def _held(read: Samples) -> list[str]:
    return [name for name, count in zip(read.classes, read.counts(), strict=True) if count]


def _of_parts(
    source: str,
    parts: Parts,
    labels: str | None,
    sample: Images,
    classes: tuple[str, ...],
    *,
    levels: Levels,
    resize: bool,
) -> ForeignSet:
    assert parts.images is not None
    what = f"images of {source}"
    images, notes = ordered(what, parts.images, sample.shape)
    pixels, told = unit_pixels(what, images, sample, levels=levels, stated=parts.range, made=parts.made)
    pixels, more = fitted(what, pixels, sample.shape, resize=resize)
    samples = sample.tensors(pixels, device="cpu", dtype=torch.float32)
    return _labelled(source, parts, labels, samples, classes, [*parts.notes, *notes, told, *more])


def _labelled(
    source: str, parts: Parts, file: str | None, samples: Tensor, classes: tuple[str, ...], notes: list[str]
) -> ForeignSet:
    hard, soft = parts.labels, parts.soft
    if file is not None:
        own = label_parts(file, _tree(file))
        hard, soft = hard if own.labels is None else own.labels, soft if own.soft is None else own.soft
        notes = [*notes, f"labels of {file} are in the order of the images"]
    named = parts.classes if parts.classes is not None and parts.classes.dtype.kind == "U" else None
    targets = None
    if soft is not None:
        soft = soft if named is None else _reordered(source, soft, named, classes)
        targets, told = probabilities(source, soft, len(samples), len(classes))
        notes = [*notes, told]
    if hard is None and targets is not None:
        hard, told = targets.argmax(axis=1).astype(np.int64), "no hard labels: the class of the largest soft label"
    elif hard is None:
        hard, told = in_order(source, len(samples), classes)
    elif named is not None and hard.dtype.kind in "biuf" and (hard.ndim == 1 or hard.shape[1] == 1):
        hard, told = hard_labels(source, _names_of(source, hard, named), classes)
    else:
        hard, told = hard_labels(source, hard, classes)
    if len(hard) != len(samples):
        got, fix = f"{len(hard)} labels for {len(samples)} images", "give one label for each image"
        raise DataError(explain(f"set {source}", got=got, expected="as many", fix=fix))
    return ForeignSet(
        source=source,
        samples=samples,
        labels=torch.from_numpy(hard),
        targets=None if targets is None else torch.from_numpy(targets),
        assumed=tuple(note for note in (*notes, told) if note),
    )


def _tree(file: str) -> Any:
    path = Path(file).expanduser()
    if not path.exists():
        expected, fix = "a file of images or labels", "check the path"
        raise DataError(explain(f"set {file}", got="no such file", expected=expected, fix=fix))
    if is_torch_file(path):
        return tree_in(path)
    if path.suffix.lower() == ".npy":
        try:
            with opened_regular(path) as opened:
                return np.load(opened, allow_pickle=False)
        except (OSError, ValueError) as error:
            got = getattr(error, "strerror", None) or "no array of plain numbers"
            expected, fix = "a file of numpy.save", "save numbers or text: numpy.save(PATH, array)"
            raise DataError(explain(f"array {file}", got=got, expected=expected, fix=fix)) from None
    return arrays_of(path)


def _names_of(source: str, labels: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Of labels that are positions in a file's own classes, the names."""
    whole, _ = hard_labels(source, labels, named.tolist())
    return named[whole]


def _reordered(source: str, soft: np.ndarray, named: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Columns in the order of the data set's classes, where a file names its own."""
    if soft.ndim != 2 or soft.shape[1] != len(named) or len(named) != len(classes):
        return soft
    positions, _ = class_positions(source, named.tolist(), classes)
    moved = np.empty_like(soft)
    moved[:, [positions[name] for name in named.tolist()]] = soft
    return moved
