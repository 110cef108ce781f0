"""An experiment whose cells take a second, and what runs it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collabdm import experiments
from collabdm.experiments import Cell, Experiment, Scale, presets
from tiny_runs import TINY, two_epochs

SCALE = Scale(
    name="tiny",
    summary="a second",
    base="default",
    settings=(
        *(f"{name}={json.dumps(value)}" for name, value in TINY.items() if name not in ("dataset", "plan.network")),
        "plan.network={name='convnet',width=8,depth=2}",
    ),
)


def cells(scale: Scale) -> tuple[Cell, ...]:
    """Three methods that share local sets; the most informative is not the first."""
    ranks = {"local-dm-pae": 2, "collabdm-pae": 0, "random-real": 1}
    return tuple(
        Cell(
            name=f"digits-{method}",
            options={"dataset": "digits", "method": method},
            rank=rank,
            paper=90.0 if method == "collabdm-pae" else None,
            paper_source="Table 2" if method == "collabdm-pae" else "",
        )
        for method, rank in ranks.items()
    )


EXPERIMENT = Experiment(name="tiny", summary="three methods on digits", cells=cells)


@contextmanager
def registered(*others: Experiment) -> Iterator[None]:
    """The tiny experiment and scale by name, and a recipe of two epochs."""
    with pytest.MonkeyPatch.context() as patch, two_epochs():
        for one in (EXPERIMENT, *others):
            patch.setitem(experiments.EXPERIMENTS, one.name, one)
        patch.setitem(presets.SCALES, "tiny", SCALE)
        yield


def records_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The records that are there, by cell."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))}


def results_in(folder: Path) -> dict[str, Any]:
    """What must be the same however often a run was interrupted: everything but times, memory and host."""
    left_out = {"seconds", "memory", "peak_memory", "spent", "commit", "versions", "hardware"}
    return {
        name: {key: value for key, value in record.items() if key not in left_out}
        for name, record in records_in(folder).items()
    }
