"""A rival run into a folder and judged: a set by training on it, models by testing each of them."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from collabdm.baselines.base import RivalJob, RivalResult, rival_named
from collabdm.baselines.models import Model, test_model
from collabdm.classifiers.teacher import classifier_of
from collabdm.data import Samples
from collabdm.distilled.set import DistilledSet
from collabdm.engine.memory import begin_stage, highest, with_total
from collabdm.evaluation.judging import Judgement, judgement, read_results, training_set, write_results
from collabdm.evaluation.networks import NetworkResult, summary, without_confusion
from collabdm.networks import Architecture, NetworkSpec
from collabdm.planning import networks_tested
from collabdm.progress import Event
from collabdm.storage.checkpoints import Checkpoint
from collabdm.storage.files import write_atomically
from collabdm.training.training_set import TrainingSet

__all__ = ["rival_metrics"]


class _Judge(Protocol):
    """Trains networks on a set and tests them; `kept`: the file of what is finished."""

    def __call__(self, training: TrainingSet, *, kept: str = ...) -> Judgement: ...


def rival_metrics(job: RivalJob, test: Samples, folder: Path, judge: _Judge) -> dict[str, Any]:
    """Run `job.config.method`; leave `distilled/`, or `model-<i>.safetensors` (and `pool/`), in the folder.

    `judge` trains networks on a set and tests them. Models are tested as they are, one result for each.
    """
    started = time.perf_counter()
    rival = rival_named(job.config.method)
    result = rival.run(job)
    begin_stage()
    if isinstance(result.product, DistilledSet):
        _told(result.product, job).save(folder / "distilled", overwrite=True)
        found = judge(training_set(result.product))
        networks = [spec.label for spec in networks_tested(job.config, job.preset)]
    else:
        found = _tested(job, result.product, test, folder)
        networks = sorted({model.spec.label for model in result.product})
    if result.pool is not None:
        _told(result.pool, job).save(folder / "pool", overwrite=True)
    curve, spent = [], found.seconds
    for point in result.curve:
        on_the_way = judge(training_set(point.product), kept=f"networks-{point.rounds}.json")
        spent += on_the_way.seconds
        curve.append(
            {
                "rounds": point.rounds,
                "bytes_down": point.bytes_down,
                "bytes_up": point.bytes_up,
                **without_confusion(summary(on_the_way.results, job.train.classes)),
            }
        )
    return {
        "accuracy": summary(found.results, job.train.classes),
        **({"curve": curve} if curve else {}),
        "product": rival.product,
        "networks": networks,
        "rounds": result.rounds,
        "bytes": {"down": dict(result.bytes_down), "up": dict(result.bytes_up)},
        "seconds": _seconds(result, spent, started),
        "memory": with_total(dict(result.memory) | {"evaluate": found.memory}),
        "facts": dict(result.facts),
    }


def _told(made: DistilledSet, job: RivalJob) -> DistilledSet:
    """The set, with what is known of the data on its card: of flows, how the samples were made of them."""
    return replace(made, facts={**job.facts, **made.facts})


def _tested(job: RivalJob, models: tuple[Model, ...], test: Samples, folder: Path) -> Judgement:
    """Each model tested, and those that an interrupted run had tested."""
    kept = folder / "networks.json"
    results = read_results(kept)
    for i, model in list(enumerate(models))[len(results) :]:
        started, content = time.perf_counter(), _saved(model, {**job.facts, "method": job.config.method})
        write_atomically(folder / f"model-{i}.safetensors", content)
        checkpoint = Checkpoint(folder / f"networks.{i}.test.checkpoint", hashlib.sha256(content).hexdigest())
        before, found = checkpoint.seconds, test_model(model, test, job.engine, checkpoint)
        seconds = before + time.perf_counter() - started
        results.append(
            NetworkResult(network=model.spec.name, index=i, seconds=seconds, memory=highest(), **found._asdict())
        )
        write_results(kept, results)
        job.report(Event(stage="evaluate", done=i + 1, total=len(models)))
    for path in folder.glob("networks.*.checkpoint"):
        path.unlink(missing_ok=True)
    return judgement(results)


def _saved(model: Model, facts: Mapping[str, Any]) -> bytes:
    """A classifier file, with `facts` on its card, where the model is a single network that could be an encoder; else
    its members."""
    encoder = _encoder(model.spec)
    if len(model.members) == 1 and encoder is not None:
        parameters, views = model.members[0], model.views
        return classifier_of(encoder, model.sample, model.classes, parameters, facts, views=views).to_bytes()
    return model.to_bytes()


def _encoder(spec: Architecture[Any]) -> NetworkSpec | None:
    """The same network, where it treats every sample by itself."""
    if isinstance(spec, NetworkSpec):
        return spec
    try:
        return NetworkSpec.model_validate(spec.model_dump(exclude_none=True))
    except ValidationError:
        return None


def _seconds(result: RivalResult, judged: float, started: float) -> dict[str, Any]:
    total = time.perf_counter() - started
    return {
        "client": dict(result.client_seconds),
        "server": result.server_seconds,
        "evaluate": judged,
        "total": total,
    }
