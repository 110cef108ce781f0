"""Reading an `.npz`: images and labels by the names that people give them, optionally `classes` and columns."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collabdm.data.labels import class_of_rows
from collabdm.data.npz_names import Names, named_arrays
from collabdm.data.npz_pixels import channels_first, pixels_of
from collabdm.data.raw import RawData, RawPart
from collabdm.data.splits import part_named
from collabdm.data.stated_range import stated_in_array
from collabdm.errors import DataError, DataWarning, explain
from collabdm.storage.reading import opened_regular
from collabdm.storage.torch_file import is_torch_file, tree_in

__all__ = ["arrays_of", "read_npz"]

# Earlier releases exported floats without a range.
_OF_EXPORT = {"x", "y", "classes"}


def read_npz(path: Path, splits: Sequence[str]) -> RawData:
    """The asked splits of an archive. Nothing is unpickled.

    Names: `x_train` and `y_train`, or what `named_arrays` takes for them; for `test` validation stands in. Images: [n,
    H, W], [n, H, W, C] or [n, C, H, W] with C of 1 to 4 (the second of two, the fourth of four, is transparency, and
    left out); uint8, floats in [0, 1], other integers within 0..255, or booleans (black and white). Labels: integers,
    whole floats or text, [n] or [n, 1], or one-hot rows [n, classes]. Text may be bytes, in UTF-8. The floats of a
    distilled set that was exported (`x`, `y`, `classes`) may lie outside [0, 1], as may pixels whose `range` says what
    their levels stand for.

    Raises:
        DataError: not an archive, an array missing, of another kind, or of an ambiguous shape.
    """
    arrays = arrays_of(path)
    names = named_arrays(arrays)
    classes = arrays.get("classes")
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind not in "US"):
        raise _refused(
            path,
            "classes",
            classes,
            "a 1-D array of text",
            "store np.array([...names...]); of numbers, classes.astype(str)",
        )
    return RawData(
        name=path.stem,
        classes=None if classes is None else tuple(_text(path, "classes", classes).tolist()),
        parts={split: _part(path, arrays, names[_named(path, arrays, names, split)]) for split in splits},
    )


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an archive by name, and those of a dictionary that `torch.save` wrote, with lists of text as such.
    Raises `DataError` where it is none, or holds Python objects."""
    if is_torch_file(path):
        return _of_torch_file(path)
    fix = "check the path, copy the file again, or save it anew with np.savez_compressed"
    try:
        with opened_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: _array(name, archive[name]) for name in archive.files}
    except Exception as error:
        objects = "allow_pickle" in str(error)
        got = "an array of Python objects" if objects else _fault(error)
        plain = (
            "before saving, make text of labels with labels.astype(str), and one array of images with np.stack(images)"
        )
        expected = "a readable .npz of plain arrays (no objects)"
        raise DataError(
            explain(f"data file {path}", got=got, expected=expected, fix=plain if objects else fix)
        ) from error


def _fault(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    # What is cut off or spoilt breaks the readers of zip and of arrays in many ways, none of which helps anybody.
    return str(error) if isinstance(error, TypeError) else "a file that is damaged, cut off or of another kind"


def _of_torch_file(path: Path) -> dict[str, np.ndarray]:
    tree = tree_in(path)
    if not isinstance(tree, dict):
        fix = "save a dictionary: torch.save({'images': images, 'labels': labels}, PATH)"
        expected = "a dictionary with images and labels"
        raise DataError(explain(f"data file {path}", got=f"a {type(tree).__name__}", expected=expected, fix=fix))
    found = {name: np.array(one) if _is_text(one) else one for name, one in tree.items()}
    return {name: one for name, one in found.items() if isinstance(one, np.ndarray)}


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _array(name: str, member: object) -> np.ndarray:
    # Of a member that is no array numpy gives the bytes.
    if not isinstance(member, np.ndarray):
        raise TypeError(f"{name} is no array")
    return member


def _named(path: Path, arrays: dict[str, np.ndarray], names: dict[str, Names], split: str) -> str:
    whole = {name: part for name, part in names.items() if part.images and part.labels}
    wanted = f"x_{split} and y_{split}"
    try:
        return part_named(str(path), split, whole, lambda _: True)
    except DataError:
        if any(name for name in whole if name == split):
            raise
        fix = f"add images x_{split} and labels y_{split}, or give the arrays that hold them these names"
        got = ", ".join(sorted(arrays)) or "none"
        raise DataError(explain(f"arrays in {path}", got=got, expected=wanted, fix=fix)) from None


def _part(path: Path, arrays: dict[str, np.ndarray], names: Names) -> RawPart:
    assert names.images
    assert names.labels
    what = f"{names.images} of {path}"
    images, left = channels_first(what, pixels_of(what, arrays[names.images]))
    if left:
        warnings.warn(DataWarning(f"{what}: {left}"), stacklevel=4)
    stated = arrays.get(f"range{names.images[1:]}") if names.images.startswith("x") else None
    if stated is not None and images.dtype == np.uint8:
        images = stated_in_array(stated, f"range in {path}").pixels(images, what)
    return RawPart(
        images=images,
        labels=_labels(path, names.labels, arrays[names.labels], len(images)),
        columns=_columns(path, arrays, names, len(images)),
        any_range=images.dtype.kind == "f"
        and (stated is not None or _OF_EXPORT <= set(arrays) <= {*_OF_EXPORT, "targets"}),
    )


def _labels(path: Path, name: str, labels: np.ndarray, rows: int) -> np.ndarray:
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim == 2 and len(flat) == rows and flat.dtype.kind in "biuf":
        return class_of_rows(f"{name} of {path}", flat)
    if flat.shape != (rows,) or flat.dtype.kind not in "biufUS":
        raise _refused(path, name, labels, f"integers or text, [{rows}]", "store one class per image")
    return _text(path, name, flat)


def _text(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Bytes as text, anything else as it is."""
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError:
        raise _refused(path, name, array, "text, or bytes in UTF-8", "store it as text: array.astype(str)") from None


def _columns(path: Path, arrays: dict[str, np.ndarray], names: Names, rows: int) -> dict[str, np.ndarray]:
    found = {column: (name, arrays[name]) for column, name in names.columns.items() if arrays[name].ndim == 1}
    for name, array in found.values():
        if len(array) != rows:
            raise _refused(path, name, array, f"[{rows}], one value per image", "correct or drop the array")
    return {column: array for column, (_, array) in found.items()}


def _refused(path: Path, name: str, array: np.ndarray, expected: str, fix: str) -> DataError:
    return DataError(explain(f"{name} of {path}", got=f"{array.dtype} {list(array.shape)}", expected=expected, fix=fix))
