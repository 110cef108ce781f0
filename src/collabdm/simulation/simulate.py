"""A whole run in one process: share a data set among clients, hold the round, evaluate.

Every contribution goes through the encoding and a file, as between real sites, so a simulation and a round of files
give the same set to the bit under the same engine (`auto` may choose another for a whole run than for a site's share).
"""

import shutil
from pathlib import Path
from typing import Any

from collabdm.baselines import RivalJob, rival_named
from collabdm.baselines.client_models import client_network
from collabdm.baselines.judged import rival_metrics
from collabdm.config import Config
from collabdm.data import Dataset, load_dataset
from collabdm.data.naming import public_name
from collabdm.distilled.set import load
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage, with_total
from collabdm.engine.plain import plain_torch
from collabdm.errors import DataError, explain
from collabdm.evaluation.judging import training_set
from collabdm.evaluation.networks import summary
from collabdm.methods import method_named
from collabdm.networks import NetworkSpec, build_network
from collabdm.planning import make_plan, networks_tested, recipe_for, resolved, sample_for, tiles_in
from collabdm.progress import Event, Report, silent
from collabdm.report.result import REAL
from collabdm.rounds.records import SIMULATED
from collabdm.rounds.run_folder import environment, finished_metrics, logged, settled_config
from collabdm.rounds.terms import Terms
from collabdm.rounds.upload import fitted_upload
from collabdm.simulation.choices import augmentation_text, check_taught, fitting_method
from collabdm.simulation.pooled import all_data, random_real_set, real_examples
from collabdm.simulation.repeats import gathered
from collabdm.simulation.round import round_metrics
from collabdm.simulation.run import Run, shared
from collabdm.simulation.sharing import check_enough, parts_of
from collabdm.simulation.site_keys import drop_keys, public_halves, site_keys
from collabdm.storage.files import write_atomically, write_json
from collabdm.teacher import check_rule
from collabdm.training.training_set import TrainingSet

__all__ = ["check_usable", "simulate", "simulate_on"]


@plain_torch()
def simulate(
    config: Config,
    folder: str | Path,
    *,
    allow_missing: bool = False,
    min_clients: int | None = None,
    max_upload: int | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Load the data and run `config.method` into `folder`; returns what `metrics.json` holds.

    A folder that an interrupted run left is gone on with. With `repeats`, every repeat has a folder of its own, and
    the metrics gather their networks. A method with partition and expand runs without where the samples are too small
    for it and `plan.tiles` is not set. That, and which augmentation was taken, is told. `max_upload`: bytes up a
    client, by which seeds, encoding and features are chosen (`fitted_upload`).
    """
    dataset, folder = load_dataset(config.dataset, modality=config.modality, options=config.reading), Path(folder)
    config, too_small = fitting_method(config, dataset.preset)
    upload = None
    if max_upload is not None:
        config, upload = fitted_upload(config, dataset.preset, parts_of(config, dataset), max_upload)
    for line in filter(None, (augmentation_text(config, dataset.preset), too_small, upload)):
        report(Event(stage="plan", done=0, total=1, message=line))
    engine = resolved([config], dataset.preset, report=report)
    return simulate_on(
        dataset,
        config,
        Path(folder),
        engine=engine,
        allow_missing=allow_missing,
        min_clients=min_clients,
        report=report,
    )


@plain_torch()
def simulate_on(
    dataset: Dataset,
    config: Config,
    folder: Path,
    *,
    engine: Engine,
    kept: Path | None = None,
    allow_missing: bool = False,
    min_clients: int | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """`simulate` on loaded data, sharing costly results with other runs through the folder `kept`."""
    check_usable(dataset, config, allow_missing)
    config = settled_config(folder, config, engine)
    finished = finished_metrics(folder, SIMULATED)
    if finished is not None:
        return finished
    terms = Terms(min_clients=min_clients, allow_missing=allow_missing)
    run = Run(dataset, config, folder, kept, terms, logged(folder, report))
    if config.repeats > 1:
        metrics = _repeated(run)
    else:
        by_source = {"full": _full, "real": _real, "round": round_metrics, "rival": _rival}
        source = method_named(config.method).source
        if source in ("round", "rival"):
            _keep_examples(run)
        metrics = by_source[source](run)
    described: dict[str, Any] = {
        "method": config.method,
        "dataset": public_name(config.dataset),
        "ipc": config.ipc,
        "seed": config.seed,
    }
    if dataset.reading:
        described["data"] = dict(dataset.reading)
    metrics = described | metrics | environment(run.engine, metrics["memory"])
    write_json(folder / "metrics.json", metrics)
    shutil.rmtree(folder / "kept", ignore_errors=True)
    drop_keys(folder)
    return metrics


def check_usable(dataset: Dataset, config: Config, allow_missing: bool) -> None:
    """Everything that can be wrong with data and settings together, before anything is computed or written.

    Raises `DataError` or `ConfigError`.
    """
    train, preset = dataset.train, dataset.preset
    absent = [name for name, held in zip(train.classes, train.counts(), strict=True) if not held]
    if absent and not allow_missing:
        fix = "add samples of them, or pass --allow-missing-classes"
        raise DataError(explain("classes that nobody holds", got=", ".join(absent), expected="none", fix=fix))
    if not len(dataset.test):
        raise DataError(explain("test data", got="none", expected="a test split", fix="give data with a test split"))
    sample = sample_for(config, preset)
    sample.check(train.shape)
    for spec in networks_tested(config, preset):
        if isinstance(spec, NetworkSpec):
            build_network(spec, sample.shape, len(train.classes))
    sample.check_tiles(tiles_in(config, sample))
    source = method_named(config.method).source
    parts = parts_of(config, dataset) if source in ("round", "rival") else {}
    if source == "rival":
        rival_named(config.method).check(config, preset)
        build_network(client_network(config, preset), sample.shape, len(train.classes))
    check_taught(config)
    if source == "round":
        check_enough(config, train, parts, allow_missing=allow_missing)
        keys = public_halves(site_keys(config, parts))
        check_rule(make_plan(config, clients=parts, preset=preset, keys=keys), config.server)


def _rival(run: Run) -> dict[str, Any]:
    config, dataset = run.config, run.dataset
    parts = parts_of(config, dataset)
    job = RivalJob(
        train=dataset.train,
        parts=parts,
        config=config,
        preset=dataset.preset,
        engine=run.engine,
        kept=run.kept or run.folder / "kept",
        facts={"dataset": dataset.name, **dataset.facts},
        report=run.report,
    )
    metrics = rival_metrics(job, dataset.test, run.folder, run.judge)
    protocol = {"protocol": recipe_for(config).model_dump()} if metrics["product"] == "set" else {}
    return metrics | {"partition": shared(run, parts)} | protocol


def _keep_examples(run: Run) -> None:
    """Real samples for the report to show beside the set; those who hold a round between sites have none to show."""
    chosen = real_examples(run.dataset, run.config, engine=run.engine)
    if chosen is not None:
        write_atomically(run.folder / REAL, chosen.to_bytes())


def _real(run: Run) -> dict[str, Any]:
    chosen = random_real_set(run.dataset, run.config, engine=run.engine)
    chosen.save(run.folder / "distilled", overwrite=True)
    return _judged(run, training_set(load(run.folder / "distilled")))


def _full(run: Run) -> dict[str, Any]:
    return _judged(run, all_data(run.dataset, run.config))


def _judged(run: Run, training: TrainingSet) -> dict[str, Any]:
    """Metrics of a method that holds no round."""
    begin_stage()
    found = run.judge(training)
    return {
        "accuracy": summary(found.results, run.dataset.train.classes),
        "product": "set",
        "networks": [spec.label for spec in networks_tested(run.config, run.dataset.preset)],
        "rounds": 0,
        "seconds": {"client": {}, "server": 0.0, "evaluate": found.seconds, "total": found.seconds},
        "memory": with_total({"evaluate": found.memory}),
        "bytes": {"down": {}, "up": {}},
        "partition": {"kind": "pooled"},
        "protocol": recipe_for(run.config).model_dump(),
    }


def _repeated(run: Run) -> dict[str, Any]:
    """Whole experiments with fresh partitions and seeds, gathered."""
    repeats = []
    for number in range(run.config.repeats):
        config = run.config.model_copy(update={"repeats": 1, "seed": run.config.seed + number})
        folder = run.folder / f"repeat-{number}"
        repeats.append(
            simulate_on(
                run.dataset,
                config,
                folder,
                engine=run.engine,
                kept=run.kept,
                allow_missing=run.terms.allow_missing,
                min_clients=run.terms.min_clients,
                report=run.report,
            )
        )
    return gathered(repeats)
