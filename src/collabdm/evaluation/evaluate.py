"""The fifth verb: what a distilled set is worth, as the accuracy of fresh classifiers trained on it."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError

from collabdm.data.samples import Samples
from collabdm.distilled import DistilledSet
from collabdm.engine import Engine, found_device
from collabdm.engine.plain import plain_torch
from collabdm.errors import ConfigError, explain, got_in, told, unknown_name
from collabdm.evaluation.classes_told import tell_lacking
from collabdm.evaluation.judging import training_set
from collabdm.evaluation.networks import NetworkResult, Trials, network_results
from collabdm.evaluation.own import own_network, suited
from collabdm.judges.base import JudgeSpec
from collabdm.judges.table import judge_in
from collabdm.networks import NetworkSpec
from collabdm.progress import Report, silent
from collabdm.training.recipes import RECIPES, Recipe
from collabdm.training.teacher_labels import TeacherLabels

__all__ = ["Evaluation", "evaluate"]

_Network = NetworkSpec | JudgeSpec | str | Mapping[str, Any]
_Networks = _Network | Sequence[_Network]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How right the networks are on the test data, each accuracy in [0, 1].

    `accuracy` and `std`: mean and standard deviation (n - 1; 0 for a single network) over `networks`; `per_class`: the
    mean share of each class's samples that are found, None for a class without test data.
    """

    accuracy: float
    std: float
    per_class: Mapping[str, float | None]
    networks: tuple[NetworkResult, ...]

    def __repr__(self) -> str:
        return f"Evaluation(accuracy {self.accuracy:.4f}, std {self.std:.4f} over {len(self.networks)} networks)"


@plain_torch()
def evaluate(
    distilled: DistilledSet,
    test: Samples,
    *,
    networks: _Networks = (),
    recipe: Recipe | str = "fast",
    seed: int = 0,
    engine: Engine | None = None,
    teacher: TeacherLabels | None = None,
    report: Report = silent,
) -> Evaluation:
    """Train fresh networks on the set and test them on real data (paper, section 5.1).

    `networks`: kinds to train, each by its name, as a table ({"name": "convnet", "width": 8}) or as a `NetworkSpec` (a
    ConvNet without a depth gets the one for images of this size), by default the encoder that the set was made with,
    in all its parameters; classical judges may be among them (`logistic`, `knn`, `forest`, `boosting`, `ridge`, of
    series `rocket-ridge`), and one that draws nothing runs once; `recipe`: how many of each kind and how they are
    trained, `fast` (3 networks), `paper` (20), `strong` (3, with CutMix and a cosine), `taught` or `together` (the same
    with a teacher, in training or beside the network in the test), of which no two are to be compared; `engine`: plain
    torch on all cores, or on the GPU, by default; `teacher`: for these two, the one in a saved set's folder
    (`collabdm.classifiers.teacher.teacher_labels(FOLDER, SET)`). Network i of a kind starts and is trained alike for
    every set, so that comparisons are paired.
    A `DataWarning` tells of classes that the set or the test data lack. Raises `DataError` where there is no test data
    or it is of another kind than the set, `ConfigError` for an unknown recipe or network, or a teacher that is none.
    """
    distilled.sample.check(test.shape)
    distilled.sample.check_values(test.values, any_range=test.any_range)
    named = test.with_classes(distilled.classes)
    tell_lacking(distilled, named)
    kinds = tuple(suited(spec, distilled) for spec in _specs(networks)) or (own_network(distilled, report=report),)
    engine = engine or Engine(device=found_device("auto"), threads=torch.get_num_threads())
    trials = Trials(networks=kinds, recipe=_recipe(recipe), seed=seed, engine=engine)
    found = tuple(network_results(training_set(distilled, teacher), named, trials, report=report))
    accuracies = [result.accuracy for result in found]
    return Evaluation(
        accuracy=statistics.fmean(accuracies),
        std=statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        per_class={name: _mean([result.per_class[y] for result in found]) for y, name in enumerate(distilled.classes)},
        networks=found,
    )


def _recipe(recipe: Recipe | str) -> Recipe:
    if isinstance(recipe, Recipe):
        # A changed copy has not been looked at.
        return Recipe.model_validate(recipe.model_dump())
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise ConfigError(unknown_name("recipe", recipe, RECIPES))
    return RECIPES[recipe]


def _specs(networks: _Networks) -> tuple[NetworkSpec | JudgeSpec, ...]:
    if isinstance(networks, str | Mapping | NetworkSpec | JudgeSpec):
        return (_spec(networks),)
    if not isinstance(networks, Iterable):
        fix = 'for example networks=["convnet"]'
        raise ConfigError(explain("networks", got=networks, expected="a list of networks", fix=fix))
    return tuple(map(_spec, networks))


def _spec(network: _Network) -> NetworkSpec | JudgeSpec:
    try:
        return judge_in(network)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = "network" if isinstance(network, str) or not where else f"network: {where}"
        raise ConfigError(explain(what, got=got_in(first, str), expected=told(first), fix="correct it")) from None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
