"""A classifier from a distilled set, as a run's settings say."""

import hashlib
from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from collabdm.classifiers.file import Classifier
from collabdm.classifiers.flow_settings import classes_of, fits
from collabdm.classifiers.teacher import classifier_of
from collabdm.config import Config
from collabdm.data.flows.facts import flow_settings_in
from collabdm.data.flows.rows import RowSettings
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.errors import ConfigError, explain
from collabdm.evaluation.judging import training_set
from collabdm.evaluation.networks import network_seed
from collabdm.evaluation.own import settled_for
from collabdm.judges.base import JudgeSpec
from collabdm.modality import Modality
from collabdm.networks import NETWORKS, NetworkSpec
from collabdm.planning import networks_tested, recipe_for, resolved
from collabdm.progress import Event, Report, silent
from collabdm.training.loop import train
from collabdm.training.teacher_labels import TeacherLabels
from collabdm.training.testing import voters_of

__all__ = ["for_kind", "train_classifier"]

_KEPT = ("dataset", "plan", "synthetic_flows")


def train_classifier(
    distilled: DistilledSet,
    config: Config,
    *,
    flows: Mapping[str, JsonValue] | None = None,
    teacher: TeacherLabels | None = None,
    report: Report = silent,
) -> tuple[Classifier, Engine]:
    """The first network that `evaluate` trains with the same settings, and the engine it was trained with: of the
    set's own encoder's kind, unless `config` names another.

    The settings under which the set's images or rows were made of flows go with it: those of the set, or `flows` where
    the set has none (a server that only saw contributions does not know them). `teacher`: for recipes that ask one.
    Raises `ConfigError` where several networks are asked for, the set's samples are too small for the one, or `flows`
    would have made other samples than the set's.
    """
    sample, classes = distilled.sample, len(distilled.classes)
    known, config = sample.preset("distilled set", distilled.classes), for_kind(config, sample)
    config, preset = settled_for(config, distilled, known, stage="train", report=report)
    network = _only(networks_tested(config, preset))
    recipe = recipe_for(config).model_copy(update={"count": 1})
    samples = len(distilled) * distilled.tiles**2
    once = config.evaluate.model_copy(update={"count": 1})
    work = config.model_copy(update={"method": "random-real", "ipc": -(-samples // classes), "evaluate": once})
    engine = resolved([work], preset, report=report)
    settings = _flow_settings(distilled, flows)
    training = training_set(distilled, teacher)
    parameters = train(
        training,
        network,
        classes=classes,
        recipe=recipe,
        seed=network_seed(config.seed, network, 0),
        engine=engine,
        tell=lambda epoch, epochs, loss: report(Event(stage="train", done=epoch, total=epochs, loss=loss)),
    )
    own, *others = voters_of(network, parameters, training, recipe)
    beside = (teacher.network, others[0].parameters) if teacher and others else None
    facts: dict[str, JsonValue] = {
        "distilled_set": hashlib.sha256(distilled.to_bytes()).hexdigest(),
        "method": distilled.method,
        **{name: distilled.facts[name] for name in _KEPT if name in distilled.facts},
        "protocol": recipe.model_dump(mode="json", exclude={"count"}),
        "seed": config.seed,
        # Neither the number of threads nor that of processes changes what comes out.
        "engine": engine.model_dump(mode="json", exclude={"threads", "processes"}),
    }
    flowing: dict[str, JsonValue] = {"flows": settings} if settings is not None else {}
    made = classifier_of(network, sample, distilled.classes, own.parameters, facts | flowing, beside, own.views)
    return made, engine


def for_kind(config: Config, sample: Modality) -> Config:
    """`config` for samples of this kind; a normalisation or operations that were set stay with the kind they are of."""
    if config.modality == sample.kind:
        return config
    plan = config.plan.model_copy(update={"normalisation": "auto", "augment": "auto"})
    return config.model_copy(update={"modality": sample.kind, "plan": plan})


def _only(networks: tuple[NetworkSpec | JudgeSpec, ...]) -> NetworkSpec:
    first, names = networks[0], ", ".join(network.name for network in networks)
    if len(networks) != 1:
        raise ConfigError(explain("networks", got=names, expected="a single one", fix="train them one by one"))
    if not isinstance(first, NetworkSpec):
        got, expected = f"{names}, a classical judge", f"one of {', '.join(NETWORKS)}, which a classifier file can hold"
        raise ConfigError(explain("network to train", got=got, expected=expected, fix="name one of them"))
    return first


def _flow_settings(distilled: DistilledSet, given: Mapping[str, JsonValue] | None) -> dict[str, JsonValue] | None:
    own = distilled.facts.get("flows")
    known = _digest(own) if isinstance(own, dict) else None
    if given is None:
        return own if isinstance(own, dict) else None
    settings = flow_settings_in(given)
    right = fits(settings, distilled.sample) and known in (None, settings.digest())
    if not right or not set(distilled.classes) <= set(classes_of(settings)):
        form = (
            f"{len(settings.features)} columns"
            if isinstance(settings, RowSettings)
            else f"side {settings.side}, {settings.layout}"
        )
        got = f"{settings.flow_schema.name}, {form} ({settings.digest()[:12]})"
        expected = f"{distilled.sample.plural} as the distilled set's: {distilled.sample.described}" + (
            f" ({known[:12]})" if known else ""
        )
        raise ConfigError(
            explain(
                "--flows", got=got, expected=expected, fix=f"pass the settings of this set's {distilled.sample.plural}"
            )
        )
    return dict(given)


def _digest(flows: Mapping[str, JsonValue]) -> str | None:
    try:
        return flow_settings_in(flows).digest()
    except ValidationError:
        return None
