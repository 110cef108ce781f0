"""What a trained classifier says of new flows: a verdict for every window of them, or for every flow as a row."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

import numpy as np

from collabdm.classifiers.file import Classifier
from collabdm.classifiers.flow_settings import benign_of, settings_of
from collabdm.classifiers.verdict import Verdict
from collabdm.data.flows.chunk import FlowChunk
from collabdm.data.flows.images import ImageSettings, window_image
from collabdm.data.flows.rows import RowSettings
from collabdm.data.flows.windows import Window, check_hosts, windows
from collabdm.engine import EAGER, Engine
from collabdm.errors import ClassifierError, explain

__all__ = ["row_verdicts", "verdicts"]

WINDOWS_AT_ONCE = 256
ROWS_AT_ONCE = 4096


def verdicts(
    classifier: Classifier,
    chunks: Iterable[FlowChunk],
    *,
    source: str,
    by: Literal["station", "host"] = "station",
    engine: Engine = EAGER,
) -> Iterator[Verdict]:
    """Windows of consecutive flows as they come, each judged; what is left at the end is padded by repetition. Of a
    classifier of rows, every flow is judged, as `row_verdicts` does.

    An image that is empty in part is like nothing in training: of real benign windows of 4 flows of 16, padded with
    zeros, a third were taken for attacks; repeated, none.
    Raises `ClassifierError` as `settings_of` does, `DataError` for windows by host of flows without hosts.
    """
    settings, benign = settings_of(classifier), benign_of(classifier, None)
    if isinstance(settings, RowSettings):
        yield from row_verdicts(classifier, chunks, source=source, benign=benign, by=by, engine=engine)
        return
    found = windows(chunks, settings.flow_schema, kind="time", by=by, size=settings.flows_per_image, partial="pad")
    while batch := list(islice(found, WINDOWS_AT_ONCE)):
        images = np.stack([_image(window, settings) for window in batch])
        for window, row in zip(batch, _probabilities(classifier, images, engine), strict=True):
            yield Verdict(
                source=source,
                first_line=window.first_line,
                last_line=window.last_line,
                first_time=_known(window.first_time),
                last_time=_known(window.last_time),
                host=window.host,
                flows=window.flows,
                padded=window.padded,
                classes=classifier.card.classes,
                probabilities=tuple(row.tolist()),
                benign=benign,
            )


def row_verdicts(
    classifier: Classifier,
    chunks: Iterable[FlowChunk],
    *,
    source: str,
    benign: int,
    by: Literal["station", "host"] = "station",
    engine: Engine = EAGER,
) -> Iterator[Verdict]:
    """Every flow judged by itself, in the file's order; `chunks` hold stored rows, `benign` is a position among the
    classes. By `host`, each verdict names the flow's source host.

    Raises `ClassifierError` for rows of another length, `DataError` for hosts of flows without hosts.
    """
    for chunk in chunks:
        if by == "host":
            check_hosts(chunk)
        for first in range(0, len(chunk), ROWS_AT_ONCE):
            part = chunk.take(slice(first, first + ROWS_AT_ONCE))
            for place, row in enumerate(_probabilities(classifier, part.values, engine)):
                time = None if part.times is None else _known(float(part.times[place]))
                yield Verdict(
                    source=source,
                    first_line=int(part.lines[place]),
                    last_line=int(part.lines[place]),
                    first_time=time,
                    last_time=time,
                    host=str(part.hosts[place]) if by == "host" and part.hosts is not None else None,
                    flows=1,
                    padded=0,
                    classes=classifier.card.classes,
                    probabilities=tuple(row.tolist()),
                    benign=benign,
                )


def _probabilities(classifier: Classifier, values: np.ndarray, engine: Engine) -> np.ndarray:
    probabilities = classifier.probabilities(values, engine)
    if not np.isfinite(probabilities).all():
        expected = "numbers: its weights or its normalisation are out of range"
        fix = "train it again with collabdm train"
        what = "classifier's probabilities"
        raise ClassifierError(explain(what, got="NaN or infinity", expected=expected, fix=fix))
    return probabilities


def _known(time: float | None) -> float | None:
    return None if time is None or not math.isfinite(time) else time


def _image(window: Window, settings: ImageSettings) -> np.ndarray:
    values = window.values
    if window.padded:
        values = values[np.arange(len(values)) % window.flows]
    return window_image(values, side=settings.side, layout=settings.layout)
