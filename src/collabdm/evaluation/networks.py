"""How good a set is: train fresh networks or classical judges on it, test them on real data (paper, section 5.1).

The accuracy is that of the last epoch, never of the best.
"""

import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.engine.memory import highest
from collabdm.engine.processes import in_processes
from collabdm.errors import DataError, explain
from collabdm.evaluation.judges_told import tell_alone, tell_labels
from collabdm.judges.base import JudgeSpec
from collabdm.judges.trial import judge_trial
from collabdm.networks import Architecture
from collabdm.progress import Event, Report, silent
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint
from collabdm.training.loop import train
from collabdm.training.recipes import Recipe
from collabdm.training.testing import test_accuracy, voters_of
from collabdm.training.training_set import TrainingSet

__all__ = [
    "NetworkResult",
    "Trials",
    "network_results",
    "network_seed",
    "spread",
    "summary",
    "without_confusion",
]


@dataclass(frozen=True, kw_only=True)
class NetworkResult:
    """One trained network: its accuracy on the test data in [0, 1], and per class (None for one without test data).

    `network`: its name, or the label of a classical judge.
    `diverged`: training ended in numbers that are not finite, so that the accuracy is that of one class.
    `macro_f1` and `confusion` as in `scores`; `seconds` of training and testing, and `memory`, the process's mark at
    their end (`memory.highest`). None where an earlier version did not say it.
    """

    network: str
    index: int
    accuracy: float
    per_class: tuple[float | None, ...]
    macro_f1: float | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None
    diverged: bool = False
    # What it cost is no part of what was found.
    seconds: float | None = field(default=None, compare=False)
    memory: float | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Which networks are trained and how: `recipe.count` of each kind, seeded from `seed`, under an engine.

    A classical judge that draws nothing runs once. `first`: the index of the first network of each kind.
    """

    networks: Sequence[Architecture[Any] | JudgeSpec]
    recipe: Recipe
    seed: int
    engine: Engine
    first: int = 0


def network_results(
    training: TrainingSet,
    test: Samples,
    trials: Trials,
    *,
    done: int = 0,
    unfinished: Path | None = None,
    introduced: bool = False,
    report: Report = silent,
) -> Iterator[NetworkResult]:
    """Train and test all networks of the trials, one result at a time, leaving out the first `done`.

    In the files `<unfinished>.<number>.*.checkpoint` networks under way are kept; those of a network go when the result
    after it is asked for. An interrupted evaluation finds them, and ends with the same results. What holds of all
    networks is told first, unless they are `introduced`: by the same trials on another form of the set.

    Network i of a kind has the same initial parameters, batches and augmentations for every set and method (they
    depend on the seed, kind and i only), so that comparisons are paired.
    Raises `DataError` where there is no test data, `ConfigError` where a recipe asks a teacher that the set has not.
    """
    if any(not isinstance(spec, JudgeSpec) for spec in trials.networks):
        training.check_teacher(trials.recipe, len(test.classes))
    if not len(test):
        raise DataError(explain("test data", got="none", expected="a test split", fix="give data with a test split"))
    processes = trials.engine.processes
    work = _jobs(training, test, trials, done, unfinished, report)
    if work and not introduced:
        tell_labels(training, trials.networks, trials.recipe, report)
        tell_alone(training, test, trials.networks, trials.recipe, trials.engine, report)

    def tell(line: str) -> None:
        report(Event(stage="evaluate", done=done, total=len(work) + done, message=line))

    for job, result in zip(work, in_processes(_judged, work, processes, tell=tell), strict=True):
        if processes > 1:
            report(Event(stage="evaluate", done=job.done + 1, total=job.total))
        if result.diverged:
            told = f"{result.network} {result.index} diverged: its loss is not finite, its accuracy that of one class"
            report(Event(stage="evaluate", done=job.done + 1, total=job.total, message=told))
        yield result
        for checkpoint in _checkpoints(job):
            checkpoint.remove()
    if unfinished:
        # Killed between keeping a result and this, an earlier call left them.
        for path in unfinished.parent.glob(f"{unfinished.name}.*.checkpoint"):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    training: TrainingSet
    test: Samples
    spec: Architecture[Any] | JudgeSpec
    index: int
    recipe: Recipe
    seed: int
    engine: Engine
    report: Report
    done: int
    total: int
    unfinished: Path | None
    digest: str


def _jobs(
    training: TrainingSet, test: Samples, trials: Trials, done: int, unfinished: Path | None, report: Report
) -> list[_Job]:
    """One for each network that is left."""
    pairs = [(spec, trials.first + i) for spec in trials.networks for i in range(_runs(spec, trials.recipe))]
    digest = training.digest() if unfinished else ""
    return [
        _Job(
            training=training,
            test=test,
            spec=spec,
            index=i,
            recipe=trials.recipe,
            seed=network_seed(trials.seed, spec, i),
            engine=trials.engine,
            # What a process reports would not reach this one: there, finished networks are counted.
            report=silent if trials.engine.processes > 1 else report,
            done=number,
            total=len(pairs),
            unfinished=unfinished,
            digest=digest,
        )
        for number, (spec, i) in list(enumerate(pairs))[done:]
    ]


def _runs(spec: Architecture[Any] | JudgeSpec, recipe: Recipe) -> int:
    return 1 if isinstance(spec, JudgeSpec) and not spec.drawn else recipe.count


def network_seed(seed: int, spec: Architecture[Any] | JudgeSpec, index: int) -> int:
    """The seed of network `index` of a kind: 53 bits, whatever it is trained on."""
    return int(Stream(seed, "evaluate", spec.model_dump_json(), index).raw(1)[0] >> 11)


def _checkpoints(job: _Job) -> tuple[Checkpoint, Checkpoint]:
    """Of training, and of testing."""
    if job.unfinished is None:
        return Checkpoint(), Checkpoint()
    basis = {
        "training": job.digest,
        "network": job.spec.model_dump(mode="json"),
        "classes": job.test.classes,
        "protocol": job.recipe.model_dump(mode="json"),
        "seed": job.seed,
        "engine": job.engine.model_dump(exclude={"threads", "processes"}),
    }
    text, number = json.dumps(basis, sort_keys=True), job.done
    training, test = (job.unfinished.with_name(f"{job.unfinished.name}.{number}.{of}.checkpoint") for of in _PARTS)
    return Checkpoint(training, text), Checkpoint(test, text)


_PARTS = ("training", "test")


def _judged(job: _Job) -> NetworkResult:
    return _by_judge(job, job.spec) if isinstance(job.spec, JudgeSpec) else _by_network(job, job.spec)


def _by_judge(job: _Job, spec: JudgeSpec) -> NetworkResult:
    def tell(line: str) -> None:
        job.report(Event(stage="evaluate", done=job.done, total=job.total, message=line))

    started, (_, checkpoint) = time.perf_counter(), _checkpoints(job)
    before, threads = checkpoint.seconds, job.engine.threads
    found = judge_trial(spec, job.training, job.test, seed=job.seed, threads=threads, checkpoint=checkpoint, tell=tell)
    job.report(Event(stage="evaluate", done=job.done + 1, total=job.total))
    seconds = before + time.perf_counter() - started
    return NetworkResult(network=spec.label, index=job.index, seconds=seconds, memory=highest(), **found._asdict())


def _by_network(job: _Job, spec: Architecture[Any]) -> NetworkResult:
    def tell(epoch: int, epochs: int, loss: float) -> None:
        job.report(Event(stage="evaluate", done=job.done * epochs + epoch, total=job.total * epochs, loss=loss))

    started, (of_training, of_test) = time.perf_counter(), _checkpoints(job)
    before = of_training.seconds + of_test.seconds
    parameters = train(
        job.training,
        spec,
        classes=len(job.test.classes),
        recipe=job.recipe,
        seed=job.seed,
        engine=job.engine,
        checkpoint=of_training,
        tell=tell,
    )
    voters = voters_of(spec, parameters, job.training, job.recipe)
    found = test_accuracy(voters, job.test, job.training.sample, job.engine, of_test)
    return NetworkResult(
        network=spec.name,
        index=job.index,
        seconds=before + time.perf_counter() - started,
        memory=highest(),
        diverged=not all(bool(torch.isfinite(value).all()) for value in parameters.values()),
        **found._asdict(),
    )


def summary(results: Sequence[NetworkResult], classes: Sequence[str]) -> dict[str, Any]:
    """Mean, standard deviation, every network, the mean per class (None without test data) and macro-F1, as JSON."""
    per_class = {}
    for y, name in enumerate(classes):
        values = [value for result in results if (value := result.per_class[y]) is not None]
        per_class[name] = statistics.fmean(values) if values else None
    networks = [
        {"network": r.network, "index": r.index, "accuracy": r.accuracy}
        | ({} if r.macro_f1 is None else {"macro_f1": r.macro_f1})
        | ({"diverged": True} if r.diverged else {})
        | ({} if r.confusion is None else {"confusion": [list(row) for row in r.confusion]})
        for r in results
    ]
    return spread(networks) | {"per_class": per_class}


def without_confusion(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """A summary for a point on the way: counts of all pairs of classes would be most of a long curve."""
    networks = [{key: value for key, value in one.items() if key != "confusion"} for one in accuracy["networks"]]
    return {**accuracy, "networks": networks}


def spread(networks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation (n - 1; 0 for a single network) of the accuracies, over all and per kind.

    Of the macro-F1 too, where all networks have it.
    """
    accuracies = [network["accuracy"] for network in networks]
    kinds = sorted({network["network"] for network in networks})
    by_kind = {kind: _mean_std([n["accuracy"] for n in networks if n["network"] == kind]) for kind in kinds}
    f1 = [network["macro_f1"] for network in networks if "macro_f1" in network]
    return (
        _mean_std(accuracies)
        | ({"macro_f1": _mean_std(f1)} if len(f1) == len(networks) else {})
        | {"networks": list(networks)}
        | ({"by_network": by_kind} if len(kinds) > 1 else {})
    )


def _mean_std(values: Sequence[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else 0.0}
