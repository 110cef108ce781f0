"""Scoring a set: its networks beside those of random real samples and of all data, under one recipe.

Every accuracy is of the last epoch. Network i of a kind starts and is trained alike on every set, so that differences
are paired; random samples are drawn anew for every network.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from collabdm.counting import counted
from collabdm.data.samples import Samples
from collabdm.evaluation.networks import NetworkResult, Trials, network_results, network_seed
from collabdm.images.modality import Images
from collabdm.judges.base import JudgeSpec
from collabdm.judges.trial import judge_trial
from collabdm.networks import Architecture, NetworkSpec
from collabdm.progress import Event, Report, silent
from collabdm.randomness import Stream
from collabdm.scoring.attacks import attacked_accuracies, usual_attacks
from collabdm.scoring.formulas import augmentation_robust, label_robust
from collabdm.scoring.sets import Source, plain, random_rows
from collabdm.training.loop import logits, train
from collabdm.training.recipes import Recipe
from collabdm.training.testing import test_accuracy, voters_of
from collabdm.training.training_set import TrainingSet

__all__ = ["FULL", "Asked", "kind_of", "scored"]

HARD, SOFT, RANDOM, RANDOM_SOFT = "hard labels", "soft labels", "random real", "random real, soft labels"
PLAIN = "no augmentation"
FULL = "all data"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is wanted beside accuracies: samples shown in training on all data (0: none is trained), or a stated
    accuracy in [0, 1] instead; the augmentation-robust score; attacks, on so many test images at most."""

    full_shown: int = 100_000
    full_accuracy: float | None = None
    augmentation: bool = True
    attacks: bool = False
    attacked: int = 1000

    def epochs(self, size: int, recipe: Recipe) -> int:
        """Of training on all data, `size` samples of it: at least one, and no more than the recipe has."""
        return max(min(self.full_shown // size, recipe.epochs), 1)


@dataclass(kw_only=True)
class _Found:
    """Accuracies in [0, 1] by set, kind of network and index; and soft labels of real samples, by kind."""

    accuracies: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    teachers: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def add(self, name: str, results: Sequence[NetworkResult]) -> None:
        for one in results:
            self.accuracies.setdefault(name, {}).setdefault(one.network, []).append(one.accuracy)


def scored(source: Source, test: Samples, trials: Trials, asked: Asked, *, report: Report = silent) -> dict[str, Any]:
    """`accuracy` by set and kind of network, `scores` by kind, and `attacks`, as plain JSON; accuracies in [0, 1].

    Raises `DataError` where there is no test data, or too few real samples to draw.
    """
    found = _Found()
    _on_all_data(source, test, trials, asked, found, report)
    _on_the_set(source, test, trials, asked, found, report)
    _on_random(source, test, trials, asked, found, report)
    scores = {kind_of(spec): _scores(kind_of(spec), found.accuracies, asked) for spec in trials.networks}
    accuracy = {
        name: {kind: _spread(values) for kind, values in by_kind.items()} for name, by_kind in found.accuracies.items()
    }
    return {
        "accuracy": accuracy,
        "scores": scores,
        **({"attacks": _attacked(source, test, trials, asked, report)} if asked.attacks else {}),
    }


def kind_of(spec: Architecture[Any] | JudgeSpec) -> str:
    """The name under which results of a network or judge stand."""
    return spec.label if isinstance(spec, JudgeSpec) else spec.name


def _on_all_data(source: Source, test: Samples, trials: Trials, asked: Asked, found: _Found, report: Report) -> None:
    """One network of each kind, shown so many samples; it is the teacher that labels real samples softly."""
    if not asked.full_shown:
        return
    shown = asked.epochs(len(source.train), trials.recipe)
    recipe = trials.recipe.model_copy(update={"epochs": shown, "most_samples": None, "teacher": 0.0})
    training = source.all_data()
    for spec in trials.networks:
        _tell(report, f"{kind_of(spec)} on all {len(source.train):,} samples, {counted(shown, 'epoch')}")
        seed = network_seed(trials.seed, spec, 0)
        if isinstance(spec, JudgeSpec):
            threads = trials.engine.threads
            right = judge_trial(spec, training, test, seed=seed, threads=threads, tell=lambda line: _tell(report, line))
        else:
            classes = len(test.classes)
            parameters = train(training, spec, classes=classes, recipe=recipe, seed=seed, engine=trials.engine)
            right = test_accuracy(voters_of(spec, parameters, training, recipe), test, source.sample, trials.engine)
            found.teachers[kind_of(spec)] = parameters
        found.accuracies.setdefault(FULL, {})[kind_of(spec)] = [right.accuracy]


def _on_the_set(source: Source, test: Samples, trials: Trials, asked: Asked, found: _Found, report: Report) -> None:
    soft = source.foreign.targets is not None
    sets = {HARD: source.own()} | ({SOFT: source.own(soft=True)} if soft else {})
    if asked.augmentation and source.augment:
        # Under the labels that random samples can have too.
        last = SOFT if soft and found.teachers else HARD
        sets[f"{last}, {PLAIN}"] = plain(sets[last])
    # Judges are shown nothing augmented, whatever the set says.
    networks = [spec for spec in trials.networks if isinstance(spec, NetworkSpec)]
    for name, training in sets.items():
        _tell(report, f"the set, {name}")
        chosen = dataclasses.replace(trials, networks=networks) if name.endswith(PLAIN) else trials
        found.add(name, list(network_results(training, test, chosen, report=report)))


def _on_random(source: Source, test: Samples, trials: Trials, asked: Asked, found: _Found, report: Report) -> None:
    """Real samples, as many of each class as the set has, drawn anew for every network."""
    counts = source.foreign.counts(len(test.classes))
    for draw in range(trials.recipe.count):
        _tell(report, f"random real samples, draw {draw + 1} of {trials.recipe.count}")
        rows = random_rows(source.train, counts, trials.seed, draw)
        for spec in trials.networks:
            one = dataclasses.replace(trials, networks=[spec], first=draw, recipe=_single(trials))
            hard = source.random(rows)
            sets = {RANDOM: hard}
            if (targets := _taught(source, rows, spec, found, trials)) is not None:
                sets[RANDOM_SOFT] = source.random(rows, targets)
            if asked.augmentation and source.augment and isinstance(spec, NetworkSpec):
                last = list(sets)[-1]
                sets[f"{last}, {PLAIN}"] = plain(sets[last])
            for name, training in sets.items():
                found.add(name, list(network_results(training, test, one, report=report)))


def _single(trials: Trials) -> Recipe:
    return trials.recipe.model_copy(update={"count": 1})


def _taught(
    source: Source, rows: Any, spec: Architecture[Any] | JudgeSpec, found: _Found, trials: Trials
) -> Tensor | None:
    """Soft labels of real samples, by the network that learned all data: only where the set has such labels too."""
    teacher = found.teachers.get(kind_of(spec))
    if source.foreign.targets is None or teacher is None or isinstance(spec, JudgeSpec):
        return None
    classes, values = len(source.train.classes), source.train.values[rows]
    said = logits(teacher, values, spec, classes=classes, sample=source.sample, engine=trials.engine)
    return said.float().softmax(dim=1)


def _scores(kind: str, accuracies: Mapping[str, Mapping[str, Sequence[float]]], asked: Asked) -> dict[str, Any]:
    """Hard and soft label-robust scores, and the augmentation-robust one, as far as there is what they need."""

    def of(name: str) -> Sequence[float] | None:
        return accuracies.get(name, {}).get(kind)

    full = of(FULL)
    reference = asked.full_accuracy if asked.full_accuracy is not None else full[0] if full else None
    found: dict[str, Any] = {}
    for name, own, random in (("lrs_hard", HARD, RANDOM), ("lrs_soft", SOFT, RANDOM_SOFT)):
        hard, mine, theirs = of(HARD), of(own), of(random)
        if reference is not None and hard and mine and theirs:
            runs = [
                label_robust(full_hard=reference, set_hard=h, set_any=a, random_any=r)
                for h, a, r in zip(_as_many(hard, theirs), _as_many(mine, theirs), theirs, strict=True)
            ]
            found[name] = {
                "lrs": _spread([one.lrs for one in runs]),
                "hlr": _spread([one.hlr for one in runs]),
                "ior": _spread([one.ior for one in runs]),
            }
    # The labels under which the set is trained as it is meant to be, where random samples can have such labels too.
    own, random = (SOFT, RANDOM_SOFT) if of(RANDOM_SOFT) and of(SOFT) else (HARD, RANDOM)
    parts = [of(name) for name in (own, random, f"{own}, {PLAIN}", f"{random}, {PLAIN}")]
    if all(parts):
        columns = [_as_many(part or (), parts[1] or ()) for part in parts]
        runs = [
            augmentation_robust(set_augmented=a, random_augmented=b, set_plain=c, random_plain=d)
            for a, b, c, d in zip(*columns, strict=True)
        ]
        found["ars"] = {
            "labels": own,
            "ars": _spread([one.ars for one in runs]),
            "gain": _spread([one.gain for one in runs]),
            "gain_plain": _spread([one.gain_plain for one in runs]),
        }
    return found


def _as_many(values: Sequence[float], others: Sequence[float]) -> Sequence[float]:
    """A judge that draws nothing learns the set once: the same accuracy stands beside every random draw."""
    return values if len(values) == len(others) else [values[0]] * len(others)


def _attacked(
    source: Source, test: Samples, trials: Trials, asked: Asked, report: Report
) -> dict[str, dict[str, dict[str, float]]]:
    """By set, kind of network and attack, the accuracy of network 0 of each kind."""
    if not isinstance(source.sample, Images):
        return {}
    if len(test) > asked.attacked:
        test = test.split(asked.attacked / len(test), Stream(trials.seed, "score attacked"))[1]
    soft, counts = source.foreign.targets is not None, source.foreign.counts(len(test.classes))
    sets: dict[str, TrainingSet] = {
        SOFT if soft else HARD: source.own(soft=soft),
        RANDOM: source.random(random_rows(source.train, counts, trials.seed, 0)),
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, training in sets.items():
        for spec in trials.networks:
            if isinstance(spec, JudgeSpec):
                continue
            _tell(report, f"attacks on {kind_of(spec)}, {name}")
            seed, classes, engine = network_seed(trials.seed, spec, 0), len(test.classes), trials.engine
            parameters = train(training, spec, classes=classes, recipe=trials.recipe, seed=seed, engine=engine)
            found.setdefault(name, {})[kind_of(spec)] = attacked_accuracies(
                parameters, spec, test, source.sample, usual_attacks(), engine=engine, seed=trials.seed
            )
    return found


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, deviation (n - 1; 0 of one) and every value."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "runs": list(values),
    }


def _tell(report: Report, line: str) -> None:
    report(Event(stage="score", done=0, total=1, message=line))
