"""Small tables that come with scikit-learn, with schemas declared from their descriptions and not from their rows."""

from typing import Any

import numpy as np

from collabdm.data.tabular.column import Column
from collabdm.data.tabular.raw import RawTable
from collabdm.data.tabular.schema import TableSchema

__all__ = ["BUILTIN", "builtin_schema", "builtin_table"]

_IRIS: dict[str, tuple[float, float]] = {
    "sepal length (cm)": (4, 8),
    "sepal width (cm)": (2, 5),
    "petal length (cm)": (0, 7),
    "petal width (cm)": (0, 3),
}
_WINE: dict[str, tuple[float, float]] = {
    "alcohol": (11, 15),
    "malic_acid": (0, 6),
    "ash": (1, 4),
    "alcalinity_of_ash": (10, 30),
    "magnesium": (70, 170),
    "total_phenols": (0, 4),
    "flavanoids": (0, 6),
    "nonflavanoid_phenols": (0, 1),
    "proanthocyanins": (0, 4),
    "color_intensity": (0, 15),
    "hue": (0, 2),
    "od280/od315_of_diluted_wines": (1, 4),
    "proline": (200, 1800),
}
# Mean, standard error and worst of each; tails are heavy where a cell is large.
_CANCER = {
    "radius": ((5, 30), (0, 3), (5, 40)),
    "texture": ((5, 40), (0, 5), (10, 50)),
    "perimeter": ((40, 200), (0, 25), (40, 260)),
    "area": ((100, 2600), (0, 600), (100, 4500)),
    "smoothness": ((0.05, 0.2), (0, 0.04), (0.05, 0.25)),
    "compactness": ((0, 0.4), (0, 0.15), (0, 1.2)),
    "concavity": ((0, 0.5), (0, 0.4), (0, 1.5)),
    "concave points": ((0, 0.25), (0, 0.06), (0, 0.3)),
    "symmetry": ((0.1, 0.35), (0, 0.1), (0.1, 0.7)),
    "fractal dimension": ((0.04, 0.1), (0, 0.03), (0.05, 0.25)),
}


def _cancer() -> dict[str, tuple[float, float]]:
    ranges: dict[str, tuple[float, float]] = {}
    for place, form in enumerate(("mean {}", "{} error", "worst {}")):
        ranges |= {form.format(name): ends[place] for name, ends in _CANCER.items()}
    return ranges


BUILTIN: dict[str, dict[str, tuple[float, float]]] = {"iris": _IRIS, "wine": _WINE, "breast_cancer": _cancer()}
"""The declared range of every column, by source."""


def builtin_schema(name: str) -> TableSchema:
    """The declared columns of one of `BUILTIN`."""
    columns = [
        Column(name=column, kind="numeric", low=low, high=high, integer=column in ("magnesium", "proline"))
        for column, (low, high) in BUILTIN[name].items()
    ]
    return TableSchema(label="class", columns=tuple(columns))


def builtin_table(name: str) -> RawTable:
    """All rows of one of `BUILTIN`, with the names of their classes."""
    from sklearn import datasets

    loaded: Any = getattr(datasets, f"load_{name}")()
    columns = {column: loaded.data[:, place].astype(np.float64) for place, column in enumerate(loaded.feature_names)}
    columns["class"] = np.array([str(loaded.target_names[y]) for y in loaded.target], dtype=object)
    return RawTable(source=name, columns=columns)
