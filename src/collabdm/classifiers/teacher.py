"""The additive teacher of a round, kept as a classifier file like any other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from torch import Tensor

from collabdm.classifiers.file import BESIDE, Classifier, ClassifierCard, load_classifier
from collabdm.distilled import DistilledSet
from collabdm.errors import ClassifierError, explain
from collabdm.images.modality import Images
from collabdm.matching.target import Target
from collabdm.modality import Modality
from collabdm.networks import NetworkSpec
from collabdm.protocol import Plan, plan_digest
from collabdm.teacher import teacher_parameters, teacher_views
from collabdm.training.teacher_labels import TeacherLabels

__all__ = ["TEACHER", "classifier_of", "teacher_classifier", "teacher_labels"]

TEACHER = "teacher.safetensors"
"""The file beside a distilled set, and in its run folder."""


def classifier_of(
    network: NetworkSpec,
    sample: Modality,
    classes: tuple[str, ...],
    parameters: Mapping[str, Tensor],
    facts: Mapping[str, JsonValue],
    beside: tuple[NetworkSpec, Mapping[str, Tensor]] | None = None,
    views: tuple[str, ...] = (),
) -> Classifier:
    """Parameters of a network, with another and its own `beside` it, if any, as a classifier that `evaluate` reads, and
    of images of flows `detect`; asked about all views of a sample under the operations `views`."""
    own: dict[str, Any] = {"samples": sample}
    if isinstance(sample, Images):
        shape = (sample.channels, sample.height, sample.width)
        own = {"shape": shape, "normalisation": sample.normalisation}
    card = ClassifierCard(
        network=network,
        beside=beside[0] if beside else None,
        views=views or None,
        classes=classes,
        **own,
        flows=flows if isinstance(flows := facts.get("flows"), dict) else None,
        facts={name: value for name, value in facts.items() if name != "flows"},
    )
    second = {BESIDE + name: value for name, value in beside[1].items()} if beside else {}
    return Classifier(card=card, parameters={**parameters, **second})


def teacher_classifier(plan: Plan, target: Target, facts: Mapping[str, JsonValue]) -> Classifier | None:
    """The ridge classifier of all data of a round; None where the plan asked for no Gram matrix. `facts` go to its
    card."""
    if plan.features is None or target.equations is None:
        return None
    parameters, found = teacher_parameters(plan, target.equations)
    made = {"method": "analytic", "plan": plan_digest(plan), "penalty": found.penalty, "error": found.error}
    told, views = dict(facts) | made, teacher_views(plan)
    return classifier_of(plan.features, plan.sample, plan.classes, parameters, told, views=views)


def teacher_labels(folder: Path, distilled: DistilledSet) -> TeacherLabels | None:
    """The teacher in the folder of a set, as recipes ask it; None where there is none.

    Raises `ClassifierError`, also for two networks in the place of one, and for a teacher of other classes or samples
    than the set's, or of another round.
    """
    path = folder / TEACHER
    if not path.exists():
        return None
    found = load_classifier(path)
    card, fix = found.card, "restore the file that the round left there"
    if card.beside is not None:
        got, expected = "two networks, one beside the other", "the one network of a teacher"
        raise ClassifierError(explain(f"teacher {path}", got=got, expected=expected, fix=fix))
    told = {
        "classes": (", ".join(card.classes), ", ".join(distilled.classes)),
        "samples": (_seen(card.sample), _seen(distilled.sample)),
        "plan": (card.facts.get("plan"), distilled.facts.get("plan")),
    }
    for what, (got, expected) in told.items():
        if got != expected and got is not None and expected is not None:
            expected = f"{str(expected)[:300]}, as the set's"
            raise ClassifierError(explain(f"{what} of teacher {path}", got=str(got)[:300], expected=expected, fix=fix))
    return TeacherLabels(network=found.card.network, parameters=found.parameters)


def _seen(sample: Modality) -> str:
    """What a sample is, in one line; of images what a classifier's card says of them."""
    if isinstance(sample, Images):
        shape = "x".join(map(str, sample.shape))
        return f"{shape}, mean {list(sample.normalisation.mean)}, std {list(sample.normalisation.std)}"
    return sample.model_dump_json()
