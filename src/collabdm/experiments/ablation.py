"""One factor at a time, on one cell: CIFAR-10, five clients at beta 0.1 (`dirichlet-reserved`), 10 images per class.

What a factor is compared with is the scale's own recipe, `base`. All sets are judged by the same network, whatever the
encoder.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collabdm.experiments.base import Cell, Experiment, config_of
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_and_spread, markdown, megabytes_up
from collabdm.images.augment import OPERATIONS

__all__ = ["ABLATION"]

_ENCODER = {"name": "convnet"}
# Factor -> value -> settings; a value that is the scale's own is no cell. The most informative first.
FACTORS: dict[str, dict[str, dict[str, Any]]] = {
    "step": {value: {"server.step": value} for value in ("joint", "per-class")},
    "passes": {f"{value}": {"server.passes": value} for value in (5, 1)},
    "weighting": {value: {"server.weighting": value} for value in ("count", "uniform")},
    "batch": {f"{value}": {"plan.batch": value} for value in (100, 512, 32, 128)},
    "seeds": {f"{value}": {"plan.seeds": value} for value in (50, 200, 25, 100)},
    "tiles": {
        "1": {"method": "collabdm"},
        **{f"{value}": {"plan.tiles": value} for value in (3, 4)},
    },
    "reuse": {"no": {"local.reuse": False}, "yes": {"local.reuse": True}},
    "init": {"noise": {"local.init": "noise"}},
    "flip": {"no": {"plan.augment": [name for name in OPERATIONS if name != "flip"]}},
    "width": {f"{value}": {"plan.network": _ENCODER | {"width": value}} for value in (64, 256, 32)},
    "depth": {f"{value}": {"plan.network": _ENCODER | {"depth": value}} for value in (2, 4)},
}


def _cells(scale: Scale) -> tuple[Cell, ...]:
    shared = {
        "dataset": "cifar10",
        "method": "collabdm-pae",
        "ipc": scale.reduced(10),
        "partition.kind": "dirichlet-reserved",
        "partition.beta": 0.1,
        "evaluate.networks": ("convnet",),
    }
    base = Cell(name="base", options=shared, rank=0)
    cells = [base]
    for name, settings in _changes():
        cell = Cell(name=name, options=shared | settings, rank=len(cells))
        if config_of(cell, scale) != config_of(base, scale):
            cells.append(cell)
    return tuple(cells) if scale.whole else tuple(_first_of_each(cells))


def _changes() -> Iterator[tuple[str, dict[str, Any]]]:
    for factor, values in FACTORS.items():
        for value, settings in values.items():
            yield f"{factor}-{value}", settings


def _first_of_each(cells: Sequence[Cell]) -> Iterator[Cell]:
    seen = set()
    for cell in cells:
        factor = cell.name.partition("-")[0]
        if factor not in seen:
            seen.add(factor)
            yield cell


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """Every cell with its difference to the base."""
    base = next((one["accuracy"]["mean"] for one in records if one["cell"] == "base" and "failed" not in one), None)
    rows = []
    for record in sorted(records, key=lambda one: one["rank"]):
        if "failed" in record:
            rows.append([record["cell"], "failed", "", "", record["failed"]])
            continue
        mean = record["accuracy"]["mean"]
        difference = "" if base is None or record["cell"] == "base" else f"{100 * (mean - base):+.1f}"
        rows.append(
            [
                record["cell"],
                accuracy_and_spread(record),
                difference,
                f"{megabytes_up(record):.2f}",
                record["note"],
            ]
        )
    return markdown(("cell", "accuracy, %", "against base", "MB up per client", "note"), rows)


ABLATION = Experiment(
    name="ablation",
    summary="One factor at a time on CIFAR-10, beta 0.1, 10 images per class: encoder, tiles, B, T, steps, ...",
    cells=_cells,
    table=_table,
)
