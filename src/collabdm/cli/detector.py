"""A classifier file as a detector of `collabdm detect`: how it gets its samples of flows, and which class is benign."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collabdm.cli.classifier import flow_settings
from collabdm.errors import ClassifierError, DataError, explain

if TYPE_CHECKING:
    from collabdm.classifiers.file import Classifier
    from collabdm.data.flows.chunk import FlowChunk
    from collabdm.data.flows.facts import FlowSettings
    from collabdm.data.flows.tally import Tally

__all__ = ["Detector", "flow_chunks", "loaded_detector", "own_rows"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Detector:
    """A classifier that knows how its samples are made of flows, `size` to a sample; `schema` is the flows' (None: its
    own declared columns), `benign` the position of that class."""

    classifier: "Classifier"
    size: int
    schema: str | None
    benign: int


def loaded_detector(model: Path, flows: Path | None, schema: str | None, benign: str | None) -> "tuple[Detector, str]":
    """The detector, and the digest of the classifier's file."""
    from collabdm.classifiers.file import load_classifier
    from collabdm.classifiers.flow_settings import benign_of, settings_of, with_flows, with_schema
    from collabdm.data.flows.facts import flow_settings_in
    from collabdm.data.flows.images import ImageSettings
    from collabdm.data.flows.schema import load_schema

    classifier = load_classifier(model)
    digest, rows = classifier.digest(), classifier.card.sample.kind == "tables"
    if flows is not None:
        classifier = with_flows(classifier, flow_settings_in(flow_settings(flows)))
    elif schema is not None and rows and classifier.card.flows is None:
        classifier = with_schema(classifier, load_schema(schema))
    if rows and classifier.card.flows is None:
        return Detector(classifier=classifier, size=1, schema=None, benign=benign_of(classifier, benign)), digest
    settings = settings_of(classifier)
    _check_schema(schema, settings)
    size = settings.flows_per_image if isinstance(settings, ImageSettings) else 1
    name = settings.flow_schema.name
    return Detector(classifier=classifier, size=size, schema=name, benign=benign_of(classifier, benign)), digest


def flow_chunks(classifier: "Classifier", path: Path, tally: "Tally") -> "Iterator[FlowChunk]":
    """The flows of a file by the classifier's schema, as its samples need them."""
    from collabdm.classifiers.flow_settings import settings_of
    from collabdm.data.flows.reader import read_flows
    from collabdm.data.flows.rows import RowSettings

    settings = settings_of(classifier)
    return read_flows(
        path,
        settings.flow_schema,
        keep_leaking=settings.keep_leaking,
        labelled=False,
        form="rows" if isinstance(settings, RowSettings) else "pixels",
        tally=tally,
    )


def own_rows(classifier: "Classifier", path: Path, name: str) -> "tuple[FlowChunk, dict[str, Any]]":
    """The rows of a file by the classifier's own columns."""
    from collabdm.classifiers.own_rows import rows_in
    from collabdm.tables.modality import Tables

    sample = classifier.card.sample
    assert isinstance(sample, Tables)
    try:
        return rows_in(path, sample)
    except FileNotFoundError:
        fix = "check the path"
        raise DataError(explain(f"flows {name}", got="no such file", expected="a CSV", fix=fix)) from None


def _check_schema(name: str | None, settings: "FlowSettings") -> None:
    from collabdm.data.flows.schema import load_schema

    if name is None:
        return
    given, known = load_schema(name), settings.flow_schema
    if given.digest() != known.digest():
        got, expected = (f"{one.name} ({one.digest()[:12]})" for one in (given, known))
        fix = "pass flows of the classifier's schema, or train a classifier on flows of this one"
        raise ClassifierError(explain("--schema", got=got, expected=f"{expected}, the classifier's", fix=fix))
