"""What an experiment is: a grid of cells, each one configuration and what the paper says of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from collabdm.config import Config, load_config, setting_tree
from collabdm.data import Dataset
from collabdm.engine import Engine
from collabdm.errors import ConfigError, explain
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import results_table
from collabdm.progress import Report
from collabdm.simulation.simulate import simulate_on

__all__ = [
    "Cell",
    "Experiment",
    "FinishedRun",
    "Record",
    "Simulation",
    "check_settings",
    "config_of",
    "not_comparable",
    "simulated",
]

Record = Mapping[str, Any]
"""A cell's JSON."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run. `name` is also that of its files.

    `options`: settings by dotted key, over the scale's. `rank`: with little time the lower ranks come first. `paper`:
    its accuracy in percent, from `paper_source`. `anchors`: points (MB up per client, accuracy in percent) that the
    paper gives of the cell's curve. `note`: what the reader of a result should know.
    `stand_in`: what a scale that needs no data takes for its data; None: what that scale has for images.
    `factors`: what else makes the cell where that is no setting, plain JSON; for the experiment's own `simulate`.
    """

    name: str
    options: Mapping[str, Any]
    rank: int
    paper: float | None = None
    paper_source: str = ""
    anchors: tuple[tuple[float, float], ...] = ()
    note: str = ""
    stand_in: str | None = None
    factors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """The data set that the cell is about, whatever stands in for it."""
        return self.options["dataset"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FinishedRun:
    """A cell's run once it is finished: its data and settings, and the folder that has its set.

    `scale`: the name of the experiment's. `kept`: where cells share what took long; None: nowhere.
    """

    dataset: Dataset
    config: Config
    folder: Path
    engine: Engine
    report: Report
    scale: str = ""
    kept: Path | None = None


class Simulation(Protocol):
    """A cell's run into a folder; returns its metrics, as `simulate_on` does, and goes on where it was interrupted.

    What it finds out besides, plain JSON, stands in the metrics as `measured`, and the record has it too.
    """

    def __call__(
        self,
        cell: Cell,
        dataset: Dataset,
        config: Config,
        folder: Path,
        *,
        engine: Engine,
        kept: Path,
        report: Report,
    ) -> Mapping[str, Any]:
        """`kept`: the folder of costly results that cells share."""
        ...


def simulated(
    cell: Cell, dataset: Dataset, config: Config, folder: Path, *, engine: Engine, kept: Path, report: Report
) -> Mapping[str, Any]:
    """The usual `Simulation`: the settings say all of the cell."""
    return simulate_on(dataset, config, folder, engine=engine, kept=kept, report=report)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """`cells` at a scale, with distinct names; `table`: the cells' records as Markdown.

    `simulate`: how a cell is run, where one run of all parties on the cell's data is not it.
    `measure`: what is found out of a finished run beside its metrics, plain JSON; the record has it as `measured`. It
    is asked again where it was interrupted, so it keeps in the run's folder, or in `kept`, what took long.
    """

    name: str
    summary: str
    cells: Callable[[Scale], tuple[Cell, ...]]
    table: Callable[[Sequence[Record]], str] = results_table
    simulate: Simulation = simulated
    measure: Callable[[FinishedRun], Mapping[str, Any]] | None = None


def config_of(cell: Cell, scale: Scale, settings: Sequence[str] = (), *, dataset: str | None = None) -> Config:
    """The scale, then the user's `settings` (`key=value`), then what makes the cell; `dataset` where another stands in.

    Raises `ConfigError`.
    """
    options = dict(cell.options)
    if dataset is not None:
        # How the data are read is for the cell's own.
        options = {key: value for key, value in options.items() if not key.startswith("data.")} | {"dataset": dataset}
    return load_config(preset=scale.base, settings=[*scale.settings, *settings], options=options)


def check_settings(cells: Sequence[Cell], settings: Sequence[str]) -> None:
    """Raise `ConfigError` for a setting that some cell sets itself: it would be without effect there."""
    own = {key for cell in cells for key in _leaves(cell.options)}
    for setting in settings:
        taken = [key for key in _leaves(setting_tree(setting)) if any(_same_place(key, one) for one in own)]
        if taken:
            fix = "choose among the cells with --only"
            raise ConfigError(
                explain("--set", got=taken[0][:80], expected="no factor of the experiment's grid", fix=fix)
            )


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Dotted keys of all that is no table."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _same_place(one: str, other: str) -> bool:
    """Whether two keys are the same, or one lies within the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def not_comparable(cell: Cell, scale: Scale, settings: Sequence[str], standing_in: str | None) -> str | None:
    """Why the cell's accuracy is not to be held against the paper's; None where it may be.

    Settings of the recipe (T, B, steps, rates, networks judging) leave the paper's figure beside the cell, whose note
    names them: what they cost is what one asks. Another problem makes it another table: other data, clients, or images.
    """
    if standing_in is not None:
        return f"{standing_in} stands in for {cell.dataset}"
    if scale.images is not None:
        return f"few images of {cell.dataset}"
    asked, given = (config_of(cell, scale, some).model_dump(include=_COMPARED) for some in ((), settings))
    other = [_COMPARED_AS.get(key, key) for key in asked if asked[key] != given[key]]
    return f"other {' and '.join(other)} than the paper's" if other else None


# What makes a cell's problem, apart from the recipe that solves it.
_COMPARED = {"dataset": True, "ipc": True, "partition": True, "evaluate": {"networks"}}
_COMPARED_AS = {"evaluate": "evaluate.networks"}
