"""A rival run into a folder and judged: a set by training on it, models by testing each of them."""

import time
from pathlib import Path
from typing import Any, Protocol

from collabdm.baselines import RIVALS, RivalJob, RivalResult
from collabdm.baselines.models import Model, test_model
from collabdm.data import Samples
from collabdm.distilled_set import DistilledSet
from collabdm.evaluation import NetworkResult, summary
from collabdm.files import write_atomically
from collabdm.judging import training_set
from collabdm.planning import networks_tested
from collabdm.progress import Event
from collabdm.training import TrainingSet

__all__ = ["rival_metrics"]


class _Judge(Protocol):
    """Trains networks on a set and tests them; `kept`: the file of what is finished."""

    def __call__(self, training: TrainingSet, *, kept: str | None = ...) -> tuple[list[NetworkResult], float]: ...


def rival_metrics(job: RivalJob, test: Samples, folder: Path, judge: _Judge) -> dict[str, Any]:
    """Run `job.config.method`; leave `distilled/`, or `model-<i>.safetensors` (and `pool/`), in the folder.

    `judge` trains networks on a set and tests them. Models are tested as they are, one result for each.
    """
    started = time.perf_counter()
    rival = RIVALS[job.config.method]
    result = rival.run(job)
    if isinstance(result.product, DistilledSet):
        result.product.save(folder / "distilled", overwrite=True)
        results, spent = judge(training_set(result.product))
        networks = [spec.label for spec in networks_tested(job.config, job.preset)]
    else:
        results, spent = _tested(job, result.product, test, folder)
        networks = sorted({model.spec.label for model in result.product})
    if result.pool is not None:
        result.pool.save(folder / "pool", overwrite=True)
    curve = []
    for point in result.curve:
        on_the_way, extra = judge(training_set(point.product), kept=f"networks-{point.rounds}.json")
        spent += extra
        curve.append(
            {
                "rounds": point.rounds,
                "bytes_down": point.bytes_down,
                "bytes_up": point.bytes_up,
                **summary(on_the_way, job.train.classes),
            }
        )
    return {
        "accuracy": summary(results, job.train.classes),
        **({"curve": curve} if curve else {}),
        "product": rival.product,
        "networks": networks,
        "rounds": result.rounds,
        "bytes": {"down": dict(result.bytes_down), "up": dict(result.bytes_up)},
        "seconds": _seconds(result, spent, started),
        "facts": dict(result.facts),
    }


def _tested(job: RivalJob, models: tuple[Model, ...], test: Samples, folder: Path) -> tuple[list[NetworkResult], float]:
    started, results = time.perf_counter(), []
    for i, model in enumerate(models):
        write_atomically(folder / f"model-{i}.safetensors", model.to_bytes())
        accuracy, per_class = test_model(model, test, job.engine)
        results.append(NetworkResult(network=model.spec.name, index=i, accuracy=accuracy, per_class=per_class))
        job.report(Event(stage="evaluate", done=i + 1, total=len(models)))
    return results, time.perf_counter() - started


def _seconds(result: RivalResult, judged: float, started: float) -> dict[str, Any]:
    total = time.perf_counter() - started
    return {
        "client": dict(result.client_seconds),
        "server": result.server_seconds,
        "evaluate": judged,
        "total": total,
    }
