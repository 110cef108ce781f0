"""What is told before judges are trained: what else they learn from, and how right the teacher beside them is."""

from collections.abc import Sequence
from typing import Any

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.judges.base import JudgeSpec
from collabdm.networks import Architecture
from collabdm.progress import Event, Report
from collabdm.training.recipes import Recipe
from collabdm.training.testing import Voter, test_accuracy
from collabdm.training.training_set import TrainingSet

__all__ = ["tell_alone", "tell_labels"]

_Judges = Sequence[Architecture[Any] | JudgeSpec]


def tell_labels(training: TrainingSet, networks: _Judges, recipe: Recipe, report: Report) -> None:
    """Say in which views networks are tested, and where classical judges learn, or are tested, otherwise."""
    judges, told = [spec.label for spec in networks if isinstance(spec, JudgeSpec)], list[str]()
    if training.targets is not None or recipe.teacher:
        softer = "the teacher's" if recipe.teacher else "the set's soft"
        told.append(f"learns from the labels of the set, not from {softer} targets")
    if recipe.beside:
        told.append("is tested without the teacher beside it")
    if viewed := training.views(recipe):
        by = " and ".join(viewed)
        told.append(f"is asked about test samples as they are, not by {by} too")
        if len(judges) < len(networks):
            _tell(f"networks are asked about every test sample as it is and by {by}; the mean counts", report)
    if judges and told:
        _tell(f"{', '.join(judges)}: {', and '.join(told)}", report)


def tell_alone(
    training: TrainingSet, test: Samples, networks: _Judges, recipe: Recipe, engine: Engine, report: Report
) -> None:
    """Say how right the teacher is alone, where it is tested beside networks: it may be all that is right."""
    if training.teacher is None or not recipe.beside or all(isinstance(spec, JudgeSpec) for spec in networks):
        return
    teacher, views = training.teacher, training.views(recipe)
    voter = Voter(network=teacher.network, parameters=teacher.parameters, views=views)
    right = test_accuracy((voter,), test, training.sample, engine).accuracy
    _tell(f"the teacher alone has {100 * right:.1f} %; each network is tested with it beside it", report)


def _tell(line: str, report: Report) -> None:
    report(Event(stage="evaluate", done=0, total=1, message=line))
