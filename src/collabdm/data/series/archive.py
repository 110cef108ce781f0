"""Series in an `.npz`: arrays by the names that people give them."""

import warnings
from pathlib import Path

import numpy as np

from collabdm.data.labels import class_of_rows
from collabdm.data.npz import arrays_of
from collabdm.data.npz_names import Names, named_arrays
from collabdm.data.series.log_mel import MOST_FRAMES, at_rate, log_mel
from collabdm.data.series.raw import WHOLE, Choose, RawSeries, SeriesPart
from collabdm.data.series.stored import stacked
from collabdm.data.splits import split_of
from collabdm.errors import DataError, DataWarning, explain

__all__ = ["read_archive"]


def read_archive(path: Path, choose: Choose) -> RawSeries:
    """The chosen parts of an archive. Nothing is unpickled.

    Names: `x_train` and `y_train`, or what `named_arrays` takes for them; `x` and `y` without a part are the whole.
    Series: numbers [n, C, L] or [n, L], NaN after the end of a shorter one; with a number `rate`, they are sounds
    [n, L] of so many samples a second, and become bands (`log_mel`). Labels: whole numbers or text, [n] or [n, 1], or
    one-hot rows.

    Raises:
        DataError: not an archive, or an array missing or of another kind.
    """
    arrays = arrays_of(path)
    names = {part: one for part, one in named_arrays(arrays).items() if one.images and one.labels}
    if not names:
        got, fix = ", ".join(sorted(arrays)) or "none", "call the arrays x_train and y_train, or x and y"
        raise DataError(explain(f"arrays in {path}", got=got, expected="series and their labels", fix=fix))
    names = {WHOLE if split_of(one.images or "") is None else part: one for part, one in names.items()}
    classes = arrays.get("classes")
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind not in "US"):
        raise _refused(path, "classes", classes, "a 1-D array of text", "store np.array([...names...])")
    rate = _rate(path, arrays)
    return RawSeries(
        name=path.stem,
        classes=None if classes is None else tuple(_text(path, "classes", classes).tolist()),
        parts={part: _part(path, arrays, names[part], rate) for part in dict.fromkeys(choose(names).values())},
        facts={} if rate is None else {"front_end": "log-mel"},
        most=None if rate is None else MOST_FRAMES,
    )


def _rate(path: Path, arrays: dict[str, np.ndarray]) -> int | None:
    """The samples a second of sounds, where the archive says that its series are such."""
    name = next((name for name in ("rate", "sample_rate", "sampling_rate") if name in arrays), None)
    if name is None:
        return None
    given = arrays[name]
    if given.size != 1 or given.dtype.kind not in "iuf" or not 100 <= given.item() <= 1e6 or given.item() % 1:
        expected, fix = "one whole number, from 100 to 1,000,000 samples a second", "correct or drop the array"
        raise _refused(path, name, given, expected, fix)
    return int(given.item())


def _bands(what: str, waves: np.ndarray, rate: int) -> np.ndarray:
    """Sounds [n, 1, steps], NaN after their ends, as bands [n, 40, frames]."""
    if waves.shape[1] != 1:
        fix = "take the mean of the channels: x.mean(axis=1)"
        raise DataError(explain(what, got=f"{waves.shape[1]} channels", expected="sounds [n, steps]", fix=fix))
    found = []
    for row, (wave,) in enumerate(waves):
        known = wave[~np.isnan(wave)]
        if not len(known) or np.isinf(known).any() or np.isnan(wave[: len(known)]).any():
            fix = "repair or drop the sound; NaN may stand after its end alone"
            raise DataError(explain(f"{what}, row {row}", got="NaN or infinity", expected="finite samples", fix=fix))
        found.append(log_mel(at_rate(known.astype(np.float64), rate)))
    return stacked(found, lambda row: f"{what}, row {row}")


def _part(path: Path, arrays: dict[str, np.ndarray], names: Names, rate: int | None) -> SeriesPart:
    assert names.images
    assert names.labels
    series = arrays[names.images]
    if series.dtype.kind not in "biuf" or series.ndim not in (2, 3) or 0 in series.shape[1:]:
        expected, fix = "numbers [n, channels, steps] or [n, steps]", "convert or reshape the array"
        raise _refused(path, names.images, series, expected, fix)
    series = series[:, None] if series.ndim == 2 else series
    channels, steps = series.shape[1:]
    if channels > steps:
        told = f"{names.images} of {path} is read as [n, channels, steps], with {channels} channels of {steps} steps"
        warnings.warn(DataWarning(f"{told}; if it is the other way round: x.transpose(0, 2, 1)"), stacklevel=4)
    with np.errstate(over="ignore"):
        values = series.astype(np.float32)
    if rate is not None:
        values = _bands(f"{names.images} of {path}", values, rate)
    return SeriesPart(
        values=values,
        labels=_labels(path, names.labels, arrays[names.labels], len(series)),
        place=lambda row: f"{path}, row {row} of {names.images}",
        columns=_columns(path, arrays, names, len(series)),
    )


def _labels(path: Path, name: str, labels: np.ndarray, rows: int) -> np.ndarray:
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim == 2 and len(flat) == rows and flat.dtype.kind in "biuf":
        return class_of_rows(f"{name} of {path}", flat)
    if flat.shape != (rows,) or flat.dtype.kind not in "biufUS":
        raise _refused(path, name, labels, f"whole numbers or text, [{rows}]", "store one class per series")
    return _text(path, name, flat)


def _columns(path: Path, arrays: dict[str, np.ndarray], names: Names, rows: int) -> dict[str, np.ndarray]:
    found = {column: (name, arrays[name]) for column, name in names.columns.items() if arrays[name].ndim == 1}
    for name, array in found.values():
        if len(array) != rows:
            raise _refused(path, name, array, f"[{rows}], one value per series", "correct or drop the array")
    return {column: array for column, (_, array) in found.items()}


def _text(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError:
        raise _refused(path, name, array, "text, or bytes in UTF-8", "store it as text: array.astype(str)") from None


def _refused(path: Path, name: str, array: np.ndarray, expected: str, fix: str) -> DataError:
    return DataError(explain(f"{name} of {path}", got=f"{array.dtype} {list(array.shape)}", expected=expected, fix=fix))
