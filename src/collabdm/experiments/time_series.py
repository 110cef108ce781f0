"""Series: three sets that ship with aeon and pendigits as pen strokes, judged by three kinds of classifiers."""

from collabdm.data.series.bundled import DIGITS, PREFIX
from collabdm.experiments.base import Experiment
from collabdm.experiments.few_samples import FewSamples, Source
from collabdm.series.modality import Series

__all__ = ["SERIES"]


def _source(name: str, *sizes: int, prefix: str = PREFIX) -> Source:
    return Source(name=prefix + name, called=name, sizes=sizes, stand_in=DIGITS)


_GRID = FewSamples(
    sources=(
        # Ten of each class are all there is to learn from.
        _source("basic_motions", 5, 1),
        _source("italy_power_demand", 5, 1, 10),
        _source("japanese_vowels", 5, 1, 10),
        # 2 channels of 8 steps; from where --data says.
        _source("pendigits", 5, 1, 10, prefix=""),
    ),
    judges=("convnet1d", "rocket-ridge", "knn"),
    settings={
        "modality": "series",
        "plan.network": "convnet1d",
        "rivals.training.network": "convnet1d",
    },
    refined={"local.method": Series.local, "server.lr": Series.rate},
    plural="series",
)

SERIES = Experiment(
    name="series",
    summary="Our own: time series, 1, 5 and 10 of each class by eleven methods, judged by three kinds of classifiers",
    cells=_GRID.cells,
    table=_GRID.table,
)
