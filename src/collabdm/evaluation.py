"""How good a set is: train fresh networks on it, test them on real data (paper, section 5.1).

The accuracy is that of the last epoch, never of the best.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.errors import DataError, explain
from collabdm.networks import NetworkSpec
from collabdm.progress import Event, Report, silent
from collabdm.randomness import Stream
from collabdm.training import Protocol, TrainingSet, test_accuracy, train
from collabdm.workers import in_processes

__all__ = ["NetworkResult", "evaluate", "network_seed", "spread", "summary"]


@dataclass(frozen=True, kw_only=True)
class NetworkResult:
    """One trained network: its accuracy on the test data in [0, 1], and per class (None for one without test data).

    `macro_f1` as in `scores`; None where a method that brings its own results does not say it.
    """

    network: str
    index: int
    accuracy: float
    per_class: tuple[float | None, ...]
    macro_f1: float | None = None


def evaluate(
    training: TrainingSet,
    test: Samples,
    *,
    networks: Sequence[NetworkSpec],
    protocol: Protocol,
    seed: int,
    engine: Engine,
    done: int = 0,
    report: Report = silent,
) -> Iterator[NetworkResult]:
    """Train and test `protocol.count` networks of every kind, one result at a time, leaving out the first `done`.

    Network i of a kind has the same initial parameters, batches and augmentations for every set and method (they
    depend on `seed`, kind and i only), so that comparisons are paired.
    Raises `DataError` where there is no test data.
    """
    if not len(test):
        raise DataError(explain("test data", got="none", expected="a test split", fix="give data with a test split"))
    jobs = [(spec, i) for spec in networks for i in range(protocol.count)]
    several = engine.processes > 1
    work = [
        _Job(
            training=training,
            test=test,
            spec=spec,
            index=i,
            protocol=protocol,
            seed=network_seed(seed, spec, i),
            engine=engine,
            # What a process reports would not reach this one: there, finished networks are counted.
            report=silent if several else report,
            done=number,
            total=len(jobs),
        )
        for number, (spec, i) in list(enumerate(jobs))[done:]
    ]
    for job, result in zip(work, in_processes(_judged, work, engine.processes), strict=True):
        if several:
            report(Event(stage="evaluate", done=job.done + 1, total=job.total))
        yield result


def network_seed(seed: int, spec: NetworkSpec, index: int) -> int:
    """The seed of network `index` of a kind: 53 bits, whatever it is trained on."""
    return int(Stream(seed, "evaluate", spec.model_dump_json(), index).raw(1)[0] >> 11)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    training: TrainingSet
    test: Samples
    spec: NetworkSpec
    index: int
    protocol: Protocol
    seed: int
    engine: Engine
    report: Report
    done: int
    total: int


def _judged(job: _Job) -> NetworkResult:
    def tell(epoch: int, epochs: int, loss: float) -> None:
        job.report(Event(stage="evaluate", done=job.done * epochs + epoch, total=job.total * epochs, loss=loss))

    classes = len(job.test.classes)
    parameters = train(
        job.training, job.spec, classes=classes, protocol=job.protocol, seed=job.seed, engine=job.engine, tell=tell
    )
    found = test_accuracy(parameters, job.test, job.spec, job.training.normalisation, job.engine)
    return NetworkResult(network=job.spec.name, index=job.index, **found._asdict())


def summary(results: Sequence[NetworkResult], classes: Sequence[str]) -> dict[str, Any]:
    """Mean, standard deviation, every network, the mean per class (None without test data) and macro-F1, as JSON."""
    per_class = {}
    for y, name in enumerate(classes):
        values = [value for result in results if (value := result.per_class[y]) is not None]
        per_class[name] = statistics.fmean(values) if values else None
    networks = [
        {"network": r.network, "index": r.index, "accuracy": r.accuracy}
        | ({} if r.macro_f1 is None else {"macro_f1": r.macro_f1})
        for r in results
    ]
    return spread(networks) | {"per_class": per_class}


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
