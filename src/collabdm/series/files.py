"""Series as files that other programs read: a Parquet table of lists, and the `.ts` of aeon and sktime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collabdm.storage.files import write_atomically

__all__ = ["parquet_bytes", "write_series"]


def write_series(path: Path, series: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """`train.parquet` and `train.ts` of float32 [n, C, L] in the folder `path`, which is made where there is none."""
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / "train.parquet", parquet_bytes(series, labels, classes))
    write_atomically(path / "train.ts", _ts(series, labels, classes).encode())


def parquet_bytes(series: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> bytes:
    """A Parquet file: `series`, lists of a list per channel, and `label`, the class's name."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    kind = pa.list_(pa.list_(pa.float32()))
    columns = {"series": pa.array(series.tolist(), kind), "label": pa.array([classes[y] for y in labels], pa.string())}
    sink = pa.BufferOutputStream()
    write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def _ts(series: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> str:
    """Class names hold no space, comma or colon there: such characters become `_`."""
    names = _plain(classes)
    _, channels, length = series.shape
    univariate = str(channels == 1).lower()
    head = [
        "@problemName distilled",
        "@timeStamps false",
        "@missing false",
        f"@univariate {univariate}",
        *([] if channels == 1 else [f"@dimensions {channels}"]),
        "@equalLength true",
        f"@seriesLength {length}",
        f"@classLabel true {' '.join(names)}",
        "@data",
    ]
    rows = [
        ":".join([*(",".join(f"{value:.9g}" for value in line) for line in one.tolist()), names[y]])
        for one, y in zip(series, labels, strict=True)
    ]
    return "\n".join([*head, *rows, ""])


def _plain(classes: Sequence[str]) -> list[str]:
    """The names without the characters that separate, told apart by the label where they would be alike."""
    table = str.maketrans(dict.fromkeys(" \t,:\n\r", "_"))
    names = [name.translate(table) for name in classes]
    return [name if names.count(name) == 1 else f"{name}-{y}" for y, name in enumerate(names)]
