"""Tables: letter and pendigits, rows that are judged by five kinds of classifiers."""

from collabdm.experiments.base import Experiment
from collabdm.experiments.few_samples import FewSamples, Source
from collabdm.tables.modality import Tables

__all__ = ["TABLES"]

_SIZES = (10, 1, 50)
_GRID = FewSamples(
    sources=(
        # The column of labels as UCI calls it; what stands in comes with scikit-learn.
        Source(name="letter", called="letter", sizes=_SIZES, stand_in="wine", options={"data.label": "lettr"}),
        Source(
            name="pendigits",
            called="pendigits",
            sizes=_SIZES,
            stand_in="breast_cancer",
            options={"data.label": "digit"},
        ),
    ),
    judges=("mlp", "knn", "logistic", "forest", "boosting"),
    settings={
        "modality": "tables",
        "plan.network": "random-features",
        "server.lr": Tables.rate,
        "rivals.training.network": "mlp",
    },
    refined={"local.method": Tables.local},
    plural="rows",
)

TABLES = Experiment(
    name="tables",
    summary="Our own: tables of 1, 10 and 50 rows a class by eleven methods, judged by five kinds of classifiers",
    cells=_GRID.cells,
    table=_GRID.table,
)
