"""What a trained classifier says of new flows: a verdict for every window of them, and whether that is an alarm."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NoReturn

import numpy as np
from pydantic import ValidationError

from collabdm.classifiers.file import Classifier
from collabdm.data.flows.chunk import FlowChunk
from collabdm.data.flows.images import ImageSettings, flows_seen, window_image
from collabdm.data.flows.windows import Window, windows
from collabdm.engine import EAGER, Engine
from collabdm.errors import ClassifierError, ConfigError, explain

__all__ = ["Policy", "Verdict", "image_settings", "summary", "verdict_line", "verdicts", "with_flows"]

WINDOWS_AT_ONCE = 256
MOST_FLOWS = 2**20


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When windows are an alarm: `min_windows` of them, each with an attack probability of at least `threshold`.

    A window that was padded counts only with at least `min_flows` flows of its own: one failed connection, repeated to
    a whole window, looks like a scan.
    """

    threshold: float
    min_windows: int
    min_flows: int

    def flags(self, verdict: "Verdict") -> bool:
        """Whether this window counts towards an alarm."""
        enough = not verdict.padded or verdict.flows >= self.min_flows
        return enough and verdict.attack_probability >= self.threshold

    def alarm(self, flagged: int) -> bool:
        """Whether so many flagged windows are an alarm."""
        return flagged >= self.min_windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """One window of `flows` flows and `padded` repeated ones, and its probabilities, one a class.

    Lines are those of the file `source`, times those of the window's first and last flow in seconds since 1970, where
    the flows have them.
    """

    source: str
    first_line: int
    last_line: int
    first_time: float | None
    last_time: float | None
    host: str | None
    flows: int
    padded: int
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    benign: int

    @property
    def verdict(self) -> str:
        """The most probable class."""
        return self.classes[int(np.argmax(self.probabilities))]

    @property
    def attack_probability(self) -> float:
        """The probability of all classes but the benign one together."""
        return max(0.0, 1.0 - self.probabilities[self.benign])


def image_settings(classifier: Classifier) -> ImageSettings:
    """How the classifier's images were made of flows.

    Raises `ClassifierError` where it was not trained on flows, or on other images than it says.
    """
    spec = classifier.card
    if spec.flows is None:
        fix = "train it on a set distilled from `collabdm flows to-images`, or pass --flows"
        raise ClassifierError(explain("classifier", got="one of other images", expected="one of flows", fix=fix))
    try:
        settings = ImageSettings.model_validate(spec.flows)
        flows_seen(settings.flows_per_image, len(settings.features), side=settings.side, layout=settings.layout)
    except (ValidationError, ConfigError) as error:
        got = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
        _refuse("flow settings", got[:200], "settings that `collabdm flows to-images` wrote")
    if settings.flows_per_image > MOST_FLOWS:
        _refuse("flows per image", settings.flows_per_image, f"at most {MOST_FLOWS}")
    if tuple(spec.sample.shape) != (1, settings.side, settings.side):
        _refuse(
            spec.sample.plural,
            list(spec.sample.shape),
            f"{[1, settings.side, settings.side]}, as its flow settings say",
        )
    named = settings.flow_schema.class_names
    if not set(spec.classes) <= set(named) or named[settings.flow_schema.benign_class] not in spec.classes:
        _refuse("classes", ", ".join(spec.classes)[:200], f"classes of its schema, {', '.join(named)[:200]}")
    return settings


def with_flows(classifier: Classifier, settings: ImageSettings) -> Classifier:
    """The classifier with `settings` as how its images were made, where it does not say so itself: a server that only
    saw contributions does not know them.

    Raises `ClassifierError` where it says otherwise, or they would have made other images than its own.
    """
    known = image_settings(classifier).digest() if classifier.card.flows is not None else None
    if known not in (None, settings.digest()):
        got = f"{settings.flow_schema.name} ({settings.digest()[:12]})"
        fix = "leave --flows out"
        raise ClassifierError(explain("--flows", got=got, expected=f"the classifier's own ({known[:12]})", fix=fix))
    told = Classifier(
        card=classifier.card.model_copy(update={"flows": settings.model_dump(mode="json")}),
        parameters=classifier.parameters,
    )
    image_settings(told)
    return told


def verdicts(
    classifier: Classifier,
    chunks: Iterable[FlowChunk],
    *,
    source: str,
    by: Literal["station", "host"] = "station",
    engine: Engine = EAGER,
) -> Iterator[Verdict]:
    """Windows of consecutive flows as they come, each judged; what is left at the end is padded by repetition.

    An image that is empty in part is like nothing in training: of real benign windows of 4 flows of 16, padded with
    zeros, a third were taken for attacks; repeated, none.
    Raises `ClassifierError` as `image_settings` does, `DataError` for windows by host of flows without hosts.
    """
    settings = image_settings(classifier)
    schema = settings.flow_schema
    classes = classifier.card.classes
    benign = classes.index(schema.class_names[schema.benign_class])
    found = windows(chunks, schema, kind="time", by=by, size=settings.flows_per_image, partial="pad")
    while batch := list(islice(found, WINDOWS_AT_ONCE)):
        images = np.stack([_image(window, settings) for window in batch])
        probabilities = classifier.probabilities(images, engine)
        if not np.isfinite(probabilities).all():
            _refuse("probabilities", "NaN or infinity", "numbers: its weights or its normalisation are out of range")
        for window, row in zip(batch, probabilities, strict=True):
            yield Verdict(
                source=source,
                first_line=window.first_line,
                last_line=window.last_line,
                first_time=_known(window.first_time),
                last_time=_known(window.last_time),
                host=window.host,
                flows=window.flows,
                padded=window.padded,
                classes=classes,
                probabilities=tuple(row.tolist()),
                benign=benign,
            )


def verdict_line(verdict: Verdict, *, flagged: bool, model: str) -> dict[str, Any]:
    """A verdict as one flat JSON object for a SIEM; `model` is the classifier's digest."""
    return {
        "source": verdict.source,
        "first_line": verdict.first_line,
        "last_line": verdict.last_line,
        "first_time": verdict.first_time,
        "last_time": verdict.last_time,
        "host": verdict.host,
        "flows": verdict.flows,
        "padded": verdict.padded,
        "verdict": verdict.verdict,
        "probability": round(max(verdict.probabilities), 6),
        "attack_probability": round(verdict.attack_probability, 6),
        "probabilities": {y: round(p, 6) for y, p in zip(verdict.classes, verdict.probabilities, strict=True)},
        "flagged": flagged,
        "model": model,
    }


def summary(found: Sequence[Verdict], policy: Policy, classes: Sequence[str]) -> dict[str, Any]:
    """Counts per class over all windows, and whether they are an alarm, as plain JSON."""
    flagged = sum(map(policy.flags, found))
    per_class = {}
    for y, name in enumerate(classes):
        chosen = [one for one in found if one.verdict == name]
        per_class[name] = {
            "windows": len(chosen),
            "flagged": sum(map(policy.flags, chosen)),
            "flows": sum(one.flows for one in chosen),
            "mean_probability": float(np.mean([one.probabilities[y] for one in chosen])) if chosen else None,
        }
    return {
        "alarm": policy.alarm(flagged),
        "windows": len(found),
        "flagged": flagged,
        "padded": sum(one.padded > 0 for one in found),
        "flows": sum(one.flows for one in found),
        "per_class": per_class,
    }


def _known(time: float | None) -> float | None:
    return None if time is None or not math.isfinite(time) else time


def _image(window: Window, settings: ImageSettings) -> np.ndarray:
    values = window.values
    if window.padded:
        values = values[np.arange(len(values)) % window.flows]
    return window_image(values, side=settings.side, layout=settings.layout)


def _refuse(what: str, got: object, expected: str) -> NoReturn:
    fix = "train it again with collabdm train"
    raise ClassifierError(explain(f"classifier's {what}", got=got, expected=expected, fix=fix))
