"""Several methods on the same data, partition, seeds and networks, sharing what they agree on."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collabdm.config import Config
from collabdm.data import Dataset, load_dataset
from collabdm.distilled.set import DistilledSet, load
from collabdm.engine import Engine
from collabdm.engine.plain import plain_torch
from collabdm.errors import ConfigError, explain
from collabdm.methods import method_named
from collabdm.planning import resolved
from collabdm.progress import Event, Report, silent
from collabdm.report.pictures import comparison_picture
from collabdm.rounds.run_folder import settled_config
from collabdm.simulation.choices import augmentation_text, fitting_methods
from collabdm.simulation.simulate import check_usable, simulate_on
from collabdm.storage.files import write_atomically, write_json
from collabdm.training.recipes import recipe_text

__all__ = ["COMPARED", "compare"]

COMPARED = (
    "random-real",
    "random-real-pae",
    "local-dm-pae",
    "collabdm",
    "collabdm-pae",
    "central-dm-pae",
    "full-data",
)


@plain_torch()
def compare(
    config: Config, methods: Sequence[str], folder: str | Path, *, allow_missing: bool = False, report: Report = silent
) -> list[dict[str, Any]]:
    """Run each method into `folder/<method>`; write `comparison.json` and `comparison.png`; return the rows.

    A row: `method`; `product`, `networks` and `partition`: what was tested, as which network, and how data were shared;
    `protocol`: the recipe that judged it, None for a model, which is only tested;
    `accuracy_mean`, `accuracy_std` and `accuracy_stderr` (over networks, in [0, 1]), `macro_f1_mean` and `macro_f1_std`
    (where known), `by_network` (mean and std of each kind, where judges are of several); `bytes_down`, `bytes_up` and
    `client_seconds` (means over clients); `rounds`, `server_seconds`, `seconds`. What methods agree on (client
    statistics, local sets, client models) is computed once for all of them; `seconds` counts it for each all the same.
    Where samples are too small for partition and expand and `plan.tiles` is not set, the methods without it stand for
    those with it, once, which is told.
    Everything is checked before anything is written. Raises `ConfigError` where there are no methods or one is named
    twice, and what `check_usable` raises.
    """
    folder = Path(folder)
    if isinstance(methods, str) or not methods:
        fix = "name some, or leave --methods out for the usual seven"
        got = f"the text {methods!r}" if methods else "none"
        raise ConfigError(explain("methods to compare", got=got[:80], expected="a list of at least one", fix=fix))
    if twice := sorted({name for name in methods if methods.count(name) > 1}):
        got = f"{', '.join(twice)} more than once"
        raise ConfigError(explain("methods to compare", got=got, expected="every method once", fix="drop the others"))
    for name in methods:
        method_named(name)
    dataset = load_dataset(config.dataset, modality=config.modality, options=config.reading)
    configs = [_config_of(config, name) for name in _usable(config, methods, dataset, report)]
    for one in configs:
        check_usable(dataset, one, allow_missing)
    engine = resolved(configs, dataset.preset, report=report)
    # Makes the folder recognisable from the start, and keeps the engine on resume, whatever methods are added then.
    settled = settled_config(folder, config, engine).engine
    engine = settled if isinstance(settled, Engine) else engine
    rows, pictured = [], []
    for number, one in enumerate(configs):
        report(Event(stage="compare", done=number, total=len(configs), message=one.method))
        run = folder / one.method
        metrics = simulate_on(
            dataset,
            one,
            run,
            engine=engine,
            kept=folder / "kept",
            allow_missing=allow_missing,
            report=report,
        )
        rows.append(_row(one.method, metrics))
        write_json(folder / "comparison.json", rows)
        pictured += _distilled(one.method, run)
    picture = comparison_picture(pictured) if pictured else None
    if picture is not None:
        write_atomically(folder / "comparison.png", picture)
    return rows


def _usable(config: Config, methods: Sequence[str], dataset: Dataset, report: Report) -> list[str]:
    """The methods, as far as the samples have room for their tiles; what the data decide is told."""
    kept, too_small = fitting_methods(config, methods, dataset.preset)
    for line in filter(None, (augmentation_text(config, dataset.preset), too_small)):
        report(Event(stage="compare", done=0, total=len(kept), message=line))
    return kept


def _config_of(config: Config, name: str) -> Config:
    """The same settings for another method; `plan.tiles` is only for those that partition and expand."""
    method = method_named(name)
    plan = config.plan if method.pae else config.plan.model_copy(update={"tiles": None})
    return config.model_copy(update={"method": method.name, "plan": plan})


def _row(method: str, metrics: dict[str, Any]) -> dict[str, Any]:
    accuracy, count = metrics["accuracy"], len(metrics["accuracy"]["networks"])
    down, up = (list(metrics["bytes"][way].values()) for way in ("down", "up"))
    seconds, shared = metrics["seconds"], metrics["partition"]
    client = list(seconds["client"].values())
    return {
        "method": method,
        "product": metrics["product"],
        "networks": metrics["networks"],
        "protocol": recipe_text(metrics.get("protocol", {})) or None,
        "partition": "pooled" if method_named(method).central else _label(shared),
        "accuracy_mean": accuracy["mean"],
        "accuracy_std": accuracy["std"],
        "accuracy_stderr": accuracy["std"] / count**0.5,
        **({"by_network": accuracy["by_network"]} if "by_network" in accuracy else {}),
        **{f"macro_f1_{name}": value for name, value in accuracy.get("macro_f1", {}).items()},
        "bytes_down": statistics.fmean(down) if down else 0,
        "bytes_up": statistics.fmean(up) if up else 0,
        "rounds": metrics["rounds"],
        "client_seconds": statistics.fmean(client) if client else 0.0,
        "server_seconds": seconds["server"],
        "seconds": sum(client) + seconds["server"] + seconds["evaluate"],
    }


def _label(shared: dict[str, Any]) -> str:
    return shared["kind"] + (f" {shared['beta']:g}" if shared["kind"].startswith("dirichlet") else "")


def _distilled(method: str, run: Path) -> list[tuple[str, DistilledSet]]:
    for folder in (run / "distilled", run / "repeat-0" / "distilled"):
        if folder.exists():
            return [(method, load(folder))]
    return []
