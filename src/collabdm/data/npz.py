"""Reading an `.npz`: x_train, y_train, x_test, y_test, optionally `classes` and columns (`station_train`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collabdm.data.raw import RawData, RawPart
from collabdm.errors import DataError, explain
from collabdm.storage.reading import opened_regular

__all__ = ["read_npz"]


def read_npz(path: Path, splits: Sequence[str]) -> RawData:
    """The asked splits of an archive. Nothing is unpickled.

    Images: [n, H, W], [n, H, W, C] or [n, C, H, W] with C of 1, 3 or 4 (alpha is dropped); uint8, floats in
    [0, 1], other integers within 0..255, or booleans (black and white). Labels: integers or text, [n] or [n,
    1]. Text may be bytes, in UTF-8.

    Raises:
        DataError: not an archive, an array missing, of another kind, or of an ambiguous shape.
    """
    arrays = _arrays(path)
    classes = arrays.get("classes")
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind not in "US"):
        raise _refused(path, "classes", classes, "a 1-D array of text", "store np.array([...names...])")
    return RawData(
        name=path.stem,
        classes=None if classes is None else tuple(_text(path, "classes", classes).tolist()),
        parts={split: _part(path, arrays, split, declared=classes is not None) for split in splits},
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with opened_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: _array(name, archive[name]) for name in archive.files}
    except Exception as error:
        raise DataError(
            explain(
                f"data file {path}",
                got=f"{type(error).__name__}: {error}",
                expected="a readable .npz of plain arrays (no objects)",
                fix="save with np.savez_compressed(x_train=..., y_train=..., x_test=..., y_test=...)",
            )
        ) from error


def _array(name: str, member: object) -> np.ndarray:
    # Of a member that is no array numpy gives the bytes.
    if not isinstance(member, np.ndarray):
        raise TypeError(f"{name} is no array")
    return member


def _part(path: Path, arrays: dict[str, np.ndarray], split: str, *, declared: bool) -> RawPart:
    missing = [name for name in (f"x_{split}", f"y_{split}") if name not in arrays]
    if missing:
        raise DataError(
            explain(
                f"arrays in {path}",
                got=", ".join(sorted(arrays)) or "none",
                expected=" and ".join(missing),
                fix="add or rename the arrays",
            )
        )
    images = _channels_first(path, f"x_{split}", _pixels(path, f"x_{split}", arrays[f"x_{split}"]))
    labels = arrays[f"y_{split}"]
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    kinds, wanted = ("biu", "integers") if declared else ("biuUS", "integers or text")
    if flat.shape != (len(images),) or flat.dtype.kind not in kinds:
        raise _refused(path, f"y_{split}", labels, f"{wanted}, [{len(images)}]", "store one class per image")
    labels = _text(path, f"y_{split}", flat)
    return RawPart(images=images, labels=labels, columns=_columns(path, arrays, split, len(images)))


def _pixels(path: Path, name: str, images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind == "f":
        return images.astype(np.float32)
    if images.dtype.kind == "b":
        return images.astype(np.uint8) * np.uint8(255)
    if images.dtype.kind not in "iu":
        raise _refused(path, name, images, "uint8, or floats in [0, 1]", "convert the array")
    if images.size and (images.min() < 0 or images.max() > 255):
        raise DataError(
            explain(
                f"{name} of {path}",
                got=f"integers from {images.min()} to {images.max()}",
                expected="integers within 0..255",
                fix="scale to 0..255 and store uint8",
            )
        )
    return images.astype(np.uint8)


def _channels_first(path: Path, name: str, images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    first = images.ndim == 4 and images.shape[1] in (1, 3, 4)
    last = images.ndim == 4 and images.shape[3] in (1, 3, 4)
    if first == last:
        got = "an ambiguous shape" if first else "a shape"
        raise DataError(
            explain(
                f"{name} of {path}",
                got=f"{got} {list(images.shape)}",
                expected="[n, H, W], [n, H, W, C] or [n, C, H, W] with C of 1, 3 or 4",
                fix="reshape or transpose the array",
            )
        )
    moved = np.moveaxis(images, 3, 1) if last else images
    return np.ascontiguousarray(moved[:, :3] if moved.shape[1] == 4 else moved)


def _text(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Bytes as text, anything else as it is."""
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError:
        raise _refused(path, name, array, "text, or bytes in UTF-8", "store it as text: array.astype(str)") from None


def _columns(path: Path, arrays: dict[str, np.ndarray], split: str, rows: int) -> dict[str, np.ndarray]:
    ending = f"_{split}"
    found = {name: array for name, array in arrays.items() if name.endswith(ending) and array.ndim == 1}
    columns = {
        name.removesuffix(ending): array for name, array in found.items() if name not in ("x" + ending, "y" + ending)
    }
    for name, array in columns.items():
        if len(array) != rows:
            raise _refused(path, name + ending, array, f"[{rows}], one value per image", "correct or drop the array")
    return columns


def _refused(path: Path, name: str, array: np.ndarray, expected: str, fix: str) -> DataError:
    return DataError(explain(f"{name} of {path}", got=f"{array.dtype} {list(array.shape)}", expected=expected, fix=fix))
