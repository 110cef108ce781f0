"""What is measured and how large: the sizes of a run, its data, and how two sides are timed."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import loops

from collabdm.config import Config, load_config
from collabdm.data import Dataset, Samples, load_dataset
from collabdm.engine import Engine
from collabdm.planning import resolved
from collabdm.randomness import Stream

__all__ = ["DEFAULT", "QUICK", "Sizes", "Work", "alternately", "settings", "work_on"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """`repeats` of every timing; `samples` of the data that are taken at most, and a fifth of them to test; `judged`:
    images of each class in the set that networks learn, for so many `epochs`; `seeds`, `batch` and `iterations` of the
    round; `rounds` of FedAvg at least."""

    repeats: int
    samples: int
    judged: int
    epochs: int
    seeds: int
    batch: int
    iterations: int
    rounds: int


DEFAULT = Sizes(repeats=3, samples=5_000, judged=50, epochs=10, seeds=40, batch=128, iterations=60, rounds=3)
QUICK = Sizes(repeats=1, samples=1_000, judged=10, epochs=5, seeds=10, batch=64, iterations=20, rounds=1)


@dataclass(frozen=True, kw_only=True)
class Work:
    """The data and the sizes of a run."""

    dataset: Dataset
    sizes: Sizes

    def engine(self, config: Config) -> Engine:
        """What `engine=auto` chooses for such work, in this process alone."""
        return resolved([config], self.dataset.preset).model_copy(update={"processes": 1})


def work_on(name: str, sizes: Sizes) -> Work:
    """The data set of this name, of which no more than the sizes say are taken."""
    dataset = load_dataset(name)
    train, test = _some(dataset.train, sizes.samples), _some(dataset.test, max(sizes.samples // 5, 1))
    return Work(dataset=replace(dataset, train=train, test=test, columns={}), sizes=sizes)


def settings(method: str, **options: Any) -> Config:
    """A configuration of `method`, with plan.seeds and the like written plan_seeds."""
    return load_config(options={"method": method} | {name.replace("_", ".", 1): of for name, of in options.items()})


def alternately(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median seconds of either after one run that warms up; they take turns, so that a busy minute meets both."""
    ours()
    theirs()
    pairs = [(loops.seconds(ours), loops.seconds(theirs)) for _ in range(repeats)]
    mine, others = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(others)


def _some(samples: Samples, most: int) -> Samples:
    return samples.take(Stream(0, "peers", len(samples)).choose(len(samples), most))
