"""A distilled set in a file of its own as a data set, so that every command reads it as it reads real samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from collabdm.data.class_names import check_class_names
from collabdm.data.npz import arrays_of
from collabdm.data.samples import Dataset, Samples
from collabdm.distilled.exporting import DESCRIPTION
from collabdm.distilled.format import read
from collabdm.distilled.set import DistilledSet, load
from collabdm.errors import DataError, DistilledSetError, explain
from collabdm.modalities import modality_in
from collabdm.modality import Modality
from collabdm.storage.reading import strict_json
from collabdm.storage.torch_file import is_torch_file

__all__ = ["kind_of_set", "read_set"]


def kind_of_set(path: Path) -> str | None:
    """The modality of the set in a file that `export` wrote; None where it is another file. Raises `DataError` where it
    is damaged."""
    if path.suffix == ".safetensors":
        try:
            return read(path)[1].sample.kind
        except DistilledSetError as error:
            raise DataError(f"{path}: {error}") from None
    arrays = arrays_of(path)
    return _described(path, arrays).kind if DESCRIPTION in arrays else None


def read_set(source: str, splits: Sequence[str], *, sample: Any = None) -> Dataset:
    """The training samples of the set in such a file, as their reader would store them: the split that is asked for.

    `sample`: the description by which they are wanted. Raises `DataError` where they are others, both splits are asked
    for, or the file is damaged.
    """
    if len(splits) > 1:
        fix = "give a data set with a train part and a test part"
        raise DataError(explain(f"test data of {source}", got="none", expected="a test part", fix=fix))
    path = Path(source).expanduser()
    try:
        name, own, values, labels, classes = _held(path)
    except DistilledSetError as error:
        raise DataError(f"{path}: {error}") from None
    if sample is not None and getattr(sample, "columns", None) != getattr(own, "columns", None):
        fix = "export the set as csv, which is read by the plan's columns"
        raise DataError(explain(f"columns of {path}", got="others", expected="those of the plan or set", fix=fix))
    check_class_names(source, classes)
    found = Samples(values=values, labels=labels, classes=classes, any_range=values.dtype.kind == "f")
    own.check_values(found.values, any_range=found.any_range)
    empty = found.take([])
    train, test = (found if split in splits else empty for split in ("train", "test"))
    reading = {"read": {split: len(found) for split in splits}, "passed_over": {}}
    return Dataset(name=name, train=train, test=test, preset=own.preset(name, classes), columns={}, reading=reading)


def _held(path: Path) -> tuple[str, Modality, np.ndarray, np.ndarray, tuple[str, ...]]:
    """(name, what a sample is, stored values, labels, classes)."""
    if path.suffix == ".safetensors":
        made = load(path).expanded()
        return path.stem, made.sample, made.sample.stored_values(made.samples), made.labels.numpy(), made.classes
    arrays = arrays_of(path)
    own = _described(path, arrays)
    called = own.plural if is_torch_file(path) else "x"
    for name, kinds in ((called, "f"), ("y" if called == "x" else "labels", "i"), ("classes", "U")):
        if name not in arrays or arrays[name].dtype.kind not in kinds:
            expected, fix = f"an array {name}, as export writes it", "export the set again"
            raise DataError(explain(f"arrays of {path}", got=", ".join(arrays), expected=expected, fix=fix))
    classes, values = tuple(map(str, arrays["classes"].tolist())), arrays[called].astype(np.float32)
    labels = arrays["labels" if is_torch_file(path) else "y"].astype(np.int64)
    if is_torch_file(path):
        checked = DistilledSet(
            samples=torch.from_numpy(np.ascontiguousarray(values)),
            labels=torch.from_numpy(labels),
            classes=classes,
            sample=own,
            augment=(),
            method="export",
            facts={},
        )
        values = own.stored_values(checked.samples)
    else:
        own.check(values.shape[1:])
    return path.stem, own, values, labels, classes


def _described(path: Path, arrays: dict[str, np.ndarray]) -> Modality:
    try:
        found = modality_in(strict_json(str(arrays[DESCRIPTION])))
        if isinstance(found, Modality):
            return found
        got = "no description of samples"
    except (ValidationError, ValueError, RecursionError) as error:
        got = str(error).splitlines()[0][:200]
    fix = "export the set again"
    raise DataError(explain(f"{DESCRIPTION} of {path}", got=got, expected="what a sample is, as JSON", fix=fix))
