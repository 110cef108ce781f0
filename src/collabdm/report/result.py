"""All that a page shows of one result, be it a run's or a cell's: the same sections, whatever stands around them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collabdm.distilled.set import DistilledSet, load
from collabdm.report.charts import Chart
from collabdm.report.gallery import Gallery, gallery
from collabdm.report.heat import Heat, taken_for
from collabdm.report.reading import Cell, Metrics
from collabdm.report.sections import (
    ClientRow,
    Setting,
    StageRow,
    client_rows,
    confusion,
    curve_charts,
    loss_chart,
    partition,
    refined_text,
    setting_rows,
    stage_rows,
)

__all__ = [
    "AFTER",
    "EXAMPLES",
    "REAL",
    "ResultView",
    "beside",
    "distilled_of",
    "examples_of",
    "plural_in",
    "result_view",
    "sets_in",
]

EXAMPLES, BEFORE, AFTER = "Real", "Before refinement", "Distilled"

REAL = "real.safetensors"
"""The file of a simulation's folder with a few real samples of every class, to be seen beside the distilled ones."""


@dataclass(frozen=True, kw_only=True)
class ResultView:
    """Sections of `result.html`; what is None or empty is left out. `plural`: what the samples are called; `beside`:
    what is to be said of the real ones beside them."""

    told: Metrics | Cell
    plural: str
    gallery: Gallery | None
    beside: str
    confusion: Heat | None
    mistakes: Sequence[tuple[str, str, str]]
    partition: Heat | None
    loss: Chart | None
    refined: str
    curves: Sequence[Chart]
    stages: Sequence[StageRow]
    clients: Sequence[ClientRow]
    settings: Sequence[Setting]


def result_view(
    told: Metrics | Cell,
    tree: Mapping[str, Any],
    *,
    losses: Sequence[float] = (),
    sets: Sequence[tuple[str, DistilledSet]] = (),
    of_class: int = 10,
    by_files: bool = False,
) -> ResultView:
    """`tree`: the settings; `sets`: titled, of which the first `of_class` images of each class are shown; `by_files`:
    whether it is a round between sites, whose server has nothing real to show."""
    confused = confusion(told.accuracy)
    return ResultView(
        told=told,
        plural=plural_in(sets),
        gallery=gallery(sets, of_class=of_class) if sets else None,
        beside=beside(sets, by_files=by_files),
        confusion=confused[0] if confused else None,
        mistakes=taken_for(confused[1], confused[0].rows) if confused else [],
        partition=partition(told),
        loss=loss_chart(losses),
        refined=refined_text(told),
        curves=curve_charts(told),
        stages=stage_rows(told.seconds, told.memory),
        clients=client_rows(told),
        settings=setting_rows(tree),
    )


def beside(sets: Sequence[tuple[str, DistilledSet]], *, by_files: bool = False) -> str:
    """What is to be known of real samples that stand beside distilled ones, or of why there are none."""
    plural = plural_in(sets)
    if any(title == EXAMPLES for title, _ in sets):
        return (
            f"The real {plural} are examples of the training data. Before this page goes to somebody who may not see"
            " the data, make it anew with --no-real."
        )
    return f"The server has no real {plural} of the sites, so none stand beside these." if by_files else ""


def plural_in(sets: Sequence[tuple[str, DistilledSet]]) -> str:
    """What the samples of titled sets are called; metrics do not say it, so without a set only `samples`."""
    return sets[0][1].sample.plural if sets else "samples"


def distilled_of(folder: Path, name: str) -> DistilledSet | None:
    """The set `name` of a run; of repeats, the first one's. Raises `DistilledSetError`."""
    for place in (folder / name, folder / "repeat-0" / name):
        if (place / "distilled.safetensors").is_file():
            return load(place)
    return None


def examples_of(folder: Path) -> DistilledSet | None:
    """The real examples of a simulation; of repeats, the first one's. Raises `DistilledSetError`."""
    for place in (folder / REAL, folder / "repeat-0" / REAL):
        if place.is_file():
            return load(place)
    return None


def sets_in(folder: Path, *, real: bool = True) -> list[tuple[str, DistilledSet]]:
    """A run's sets before and after refinement and real examples, as far as they are there.

    Raises `DistilledSetError`.
    """
    found = [
        (EXAMPLES, examples_of(folder) if real else None),
        (BEFORE, distilled_of(folder, "initial")),
        (AFTER, distilled_of(folder, "distilled")),
    ]
    return [(title, chosen) for title, chosen in found if chosen is not None]
