"""What is remembered of the classes seen so far, and what it is worth after each step (GDumb).

After every step networks are trained from scratch on all that is remembered, as each method's data are judged
elsewhere, and tested on the classes seen so far. So a method forgets only what its set does not hold.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.distilled import DistilledSet
from collabdm.engine import Engine
from collabdm.errors import DataError, explain
from collabdm.evaluation.judging import Judgement, judge, training_set
from collabdm.experiments.class_steps import Steps, forgetting, of_classes, share_found
from collabdm.progress import Event, Report

__all__ = ["added", "check_tested", "joined", "judged_in_steps", "measured", "seen_part"]


def check_tested(dataset: Dataset) -> None:
    """Raise `DataError` for a class without test samples: whether it is forgotten, nobody could say."""
    without = [name for name, count in zip(dataset.test.classes, dataset.test.counts(), strict=True) if not count]
    if without:
        got, fix = f"none of {', '.join(without[:10])}", "give test data of every class"
        raise DataError(explain("test samples of a class", got=got, expected="one at least", fix=fix))


def joined(sets: Sequence[DistilledSet]) -> DistilledSet:
    """The sets of all steps so far as one, whose classes are theirs one after another."""
    first, before, labels = sets[0], 0, []
    for one in sets:
        labels.append(one.labels + before)
        before += len(one.classes)
    samples = torch.cat([one.samples for one in sets])
    return replace(
        first, samples=samples, labels=torch.cat(labels), classes=tuple(name for one in sets for name in one.classes)
    )


def seen_part(whole: DistilledSet, seen: Sequence[int]) -> DistilledSet:
    """A set of all classes as one of those `seen`, which alone it holds so far, in that order."""
    place = torch.full((len(whole.classes),), -1)
    place[list(seen)] = torch.arange(len(seen))
    return replace(whole, labels=place[whole.labels], classes=tuple(whole.classes[y] for y in seen))


def judged_in_steps(
    memories: Sequence[DistilledSet],
    steps: Steps,
    dataset: Dataset,
    config: Config,
    *,
    run: Path,
    engine: Engine,
    report: Report,
) -> list[Judgement]:
    """What the memory after each step is worth on the classes seen by then; kept in the folder `run`."""
    found = []
    for t, memory in enumerate(memories):
        seen = of_classes(dataset, [y for step in steps[: t + 1] for y in step])
        message = f"after step {t + 1} of {len(steps)}: {len(memory)} samples of {len(memory.classes)} classes"
        report(Event(stage="memory", done=t, total=len(steps), message=message))
        kept = run / f"networks-after-{t}.json"
        found.append(judge(training_set(memory), seen, config, engine=engine, kept=kept, report=report))
    return found


def measured(found: Sequence[Judgement], steps: Steps, dataset: Dataset) -> dict[str, Any]:
    """By network, accuracies in [0, 1]: `after` each step over the classes seen by then, their `mean` over steps, and
    the `forgetting`; `by_step` [networks][steps][steps so far] on each step's own classes; `order` of the classes."""
    counts = dataset.test.counts()
    by_step, after = [], []
    for number in range(len(found[0].results)):
        networks = [one.results[number] for one in found]
        after.append([network.accuracy for network in networks])
        by_step.append([_on_each(network.per_class, steps[: t + 1], counts) for t, network in enumerate(networks)])
    return {
        "order": [[dataset.train.classes[y] for y in step] for step in steps],
        "after": after,
        "mean": [statistics.fmean(one) for one in after],
        "forgetting": [forgetting(one) for one in by_step],
        "by_step": by_step,
    }


def added(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers of the same name added up, at every depth; a name that only some have counts there."""
    total: dict[str, Any] = {}
    for tree in trees:
        for name, value in tree.items():
            if isinstance(value, Mapping):
                total[name] = added([total.get(name, {}), value])
            else:
                total[name] = total.get(name, 0) + value
    return total


def _on_each(per_class: Sequence[float | None], steps: Steps, counts: np.ndarray) -> list[float]:
    """Accuracy on the classes of each step; `per_class` is in the order in which they came."""
    seen = [y for step in steps for y in step]
    tested, ends = counts[seen].tolist(), np.cumsum([len(step) for step in steps]).tolist()
    return [share_found(per_class, tested, range(end - len(step), end)) for step, end in zip(steps, ends, strict=True)]
