"""How a classifier's samples were made of flows, as its file says or as it is told, and what of it must fit."""

from typing import NoReturn

from pydantic import ValidationError

from collabdm.classifiers.file import Classifier
from collabdm.data.flows.facts import FlowSettings, flow_settings_in
from collabdm.data.flows.images import ImageSettings, flows_seen
from collabdm.data.flows.rows import RowSettings
from collabdm.data.flows.schema import FlowSchema
from collabdm.errors import ClassifierError, ConfigError, explain, told
from collabdm.modality import Modality
from collabdm.tables.modality import Tables

__all__ = ["benign_of", "classes_of", "fits", "settings_of", "with_flows", "with_schema"]

MOST_FLOWS = 2**20

_TRAINED = "train it again with collabdm train"


def classes_of(settings: FlowSettings) -> tuple[str, ...]:
    """The classes that samples made so may have."""
    return settings.table.classes if isinstance(settings, RowSettings) else settings.flow_schema.class_names


def fits(settings: FlowSettings, sample: Modality) -> bool:
    """Whether samples that are described so can have been made so."""
    if isinstance(settings, RowSettings):
        return isinstance(sample, Tables) and sample.columns == settings.table.columns
    return sample.kind == "images" and tuple(sample.shape) == (1, settings.side, settings.side)


def settings_of(classifier: Classifier) -> FlowSettings:
    """How the classifier's images or rows were made of flows.

    Raises `ClassifierError` where it was not trained on flows, or on other samples than it says.
    """
    spec = classifier.card
    if spec.flows is None:
        fix = "train it on a set distilled from `collabdm flows to-images` or `to-table`, or pass --flows"
        got = f"one of other {spec.sample.plural}"
        raise ClassifierError(explain("classifier", got=got, expected="one of flows", fix=fix))
    try:
        settings = flow_settings_in(spec.flows)
        if isinstance(settings, ImageSettings):
            flows_seen(settings.flows_per_image, len(settings.features), side=settings.side, layout=settings.layout)
        named = classes_of(settings)
    except (ValidationError, ConfigError) as error:
        got = told(error.errors()[0]) if isinstance(error, ValidationError) else str(error)
        _refuse("flow settings", got[:200], "settings that `collabdm flows to-images` or `to-table` wrote")
    if isinstance(settings, ImageSettings) and settings.flows_per_image > MOST_FLOWS:
        _refuse("flows per image", settings.flows_per_image, f"at most {MOST_FLOWS}")
    if not fits(settings, spec.sample):
        expected = (
            f"{[1, settings.side, settings.side]}, as its flow settings say"
            if isinstance(settings, ImageSettings)
            else f"a row of {len(settings.features)} columns, as its flow settings declare them"
        )
        _refuse(spec.sample.plural, f"{list(spec.sample.shape)} ({spec.sample.described})", expected)
    if not set(spec.classes) <= set(named) or named[settings.flow_schema.benign_class] not in spec.classes:
        _refuse("classes", ", ".join(spec.classes)[:200], f"classes of its schema, {', '.join(named)[:200]}")
    return settings


def with_flows(classifier: Classifier, settings: FlowSettings) -> Classifier:
    """The classifier with `settings` as how its samples were made, where it does not say so itself: a server that only
    saw contributions does not know them.

    Raises `ClassifierError` where it says otherwise, or they would have made other samples than its own.
    """
    known = settings_of(classifier).digest() if classifier.card.flows is not None else None
    if known not in (None, settings.digest()):
        got = f"{settings.flow_schema.name} ({settings.digest()[:12]})"
        fix = "leave --flows out"
        raise ClassifierError(explain("--flows", got=got, expected=f"the classifier's own ({known[:12]})", fix=fix))
    told = Classifier(
        card=classifier.card.model_copy(update={"flows": settings.model_dump(mode="json")}),
        parameters=classifier.parameters,
    )
    settings_of(told)
    return told


def with_schema(classifier: Classifier, schema: FlowSchema) -> Classifier:
    """A classifier of rows that does not say how they were made, told that they are flows of this schema: its columns
    tell whether leaking ones were kept.

    Raises `ClassifierError` where its columns are not those of the schema.
    """
    sample = classifier.card.sample
    both = [RowSettings(flow_schema=schema, keep_leaking=keep) for keep in (False, True)]
    found = next((one for one in both if fits(one, sample)), None)
    if found is None:
        got, expected = f"{schema.name} ({len(both[0].features)} columns)", f"the classifier's {sample.described}"
        fix = "pass the schema that its rows were made with, or leave it out and pass --benign CLASS"
        raise ClassifierError(explain("--schema", got=got, expected=expected, fix=fix))
    return with_flows(classifier, found)


def benign_of(classifier: Classifier, given: str | None) -> int:
    """The position of the class of benign traffic among the classifier's, `given` where it does not say so itself.

    Raises `ClassifierError` where none is known, or another one.
    """
    card = classifier.card
    own = None
    if card.flows is not None:
        settings = settings_of(classifier)
        own = classes_of(settings)[settings.flow_schema.benign_class]
    wanted = own if given is None else given
    if wanted is None or wanted not in card.classes or (own is not None and wanted != own):
        expected = f"{own}, as its schema says" if own is not None else f"one of {', '.join(card.classes)[:200]}"
        fix = "leave it out" if own is not None else "name the class that is no attack: --benign CLASS"
        raise ClassifierError(explain("--benign", got=given or "none", expected=expected, fix=fix))
    return card.classes.index(wanted)


def _refuse(what: str, got: object, expected: str) -> NoReturn:
    raise ClassifierError(explain(f"classifier's {what}", got=got, expected=expected, fix=_TRAINED))
