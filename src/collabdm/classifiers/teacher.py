"""The additive teacher of a round, kept as a classifier file like any other."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue
from torch import Tensor

from collabdm.classifiers.file import Classifier, ClassifierCard, load_classifier
from collabdm.images.modality import Images
from collabdm.matching.target import Target
from collabdm.networks import NetworkSpec
from collabdm.protocol import Plan, plan_digest
from collabdm.teacher import teacher_parameters
from collabdm.training.teacher_labels import TeacherLabels

__all__ = ["TEACHER", "classifier_of", "teacher_classifier", "teacher_labels"]

TEACHER = "teacher.safetensors"
"""The file beside a distilled set, and in its run folder."""


def classifier_of(
    network: NetworkSpec,
    sample: Images,
    classes: tuple[str, ...],
    parameters: Mapping[str, Tensor],
    facts: Mapping[str, JsonValue],
) -> Classifier:
    """Parameters of a network for images, as a classifier that `detect` and `evaluate` read."""
    card = ClassifierCard(
        network=network,
        classes=classes,
        shape=(sample.channels, sample.height, sample.width),
        normalisation=sample.normalisation,
        flows=flows if isinstance(flows := facts.get("flows"), dict) else None,
        facts={name: value for name, value in facts.items() if name != "flows"},
    )
    return Classifier(card=card, parameters=parameters)


def teacher_classifier(plan: Plan, target: Target, facts: Mapping[str, JsonValue]) -> Classifier | None:
    """The ridge classifier of all data of a round; None where the plan asked for no Gram matrix, or its samples are no
    images. `facts` go to its card."""
    if plan.features is None or target.equations is None or not isinstance(plan.sample, Images):
        return None
    parameters, found = teacher_parameters(plan, target.equations)
    made = {"method": "analytic", "plan": plan_digest(plan), "penalty": found.penalty, "error": found.error}
    return classifier_of(plan.features, plan.sample, plan.classes, parameters, dict(facts) | made)


def teacher_labels(folder: Path) -> TeacherLabels | None:
    """The teacher beside a set, as recipes ask it; None where there is none. Raises `ClassifierError`."""
    if not (folder / TEACHER).exists():
        return None
    found = load_classifier(folder / TEACHER)
    return TeacherLabels(network=found.card.network, parameters=found.parameters)
