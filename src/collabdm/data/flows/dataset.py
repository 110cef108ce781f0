"""From a CSV of flows to a data set of images on disk that every other command reads.

A folder: `train.parquet` and `test.parquet` with the columns `image`, `label`, `station`, `type` (of pure windows),
`first_line`, `last_line` (of the CSV) and `attack_share`; and `flows.json`, the settings that made the images, the
counts, and what was repaired.
"""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from collabdm.data.flows.chunk import FlowChunk, joined
from collabdm.data.flows.facts import FLOWS_FILE
from collabdm.data.flows.images import ImageSettings, eight_bit, flows_seen, window_image
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.split import for_testing, test_side
from collabdm.data.flows.tally import Tally
from collabdm.data.flows.windows import Window, windows
from collabdm.errors import DataError, explain
from collabdm.storage.files import write_json

__all__ = ["FlowImages", "images_of", "save_images"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowImages:
    """n windows as images: those for training, then those for testing, each in the order of their last lines.

    `images` uint8 [n, 1, side, side], `labels` int64 [n] (classes), `stations` and `types` text [n], `lines` int64 [n,
    2] (first and last), `attack_shares` float64 [n], `test` bool [n]; `tally` is what reading repaired.
    """

    settings: ImageSettings
    images: np.ndarray
    labels: np.ndarray
    stations: np.ndarray
    types: np.ndarray
    lines: np.ndarray
    attack_shares: np.ndarray
    test: np.ndarray
    tally: Tally

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Windows by part (`train`, `test`), class and station."""
        names, sites = self.settings.flow_schema.class_names, self.settings.flow_schema.station.names
        return {
            part: {
                name: {site: int(np.sum(side & (self.labels == y) & (self.stations == site))) for site in sites}
                for y, name in enumerate(names)
            }
            for part, side in (("train", ~self.test), ("test", self.test))
        }


def images_of(path: Path, settings: ImageSettings, *, test_share: float) -> FlowImages:
    """Read a labelled CSV, split its flows, cut windows on each side and make images.

    Raises `DataError` for a file that the schema does not describe or that makes no window, `ConfigError` for settings
    that do not fit together.
    """
    schema, tally = settings.flow_schema, Tally()
    side, layout = settings.side, settings.layout
    flows_seen(settings.flows_per_image, len(settings.features), side=side, layout=layout)
    for_testing(0, test_share)
    flows = joined([_compact(chunk) for chunk in _read(path, settings, tally)])
    assert flows.types is not None
    test = test_side(flows.stations, flows.types, size=settings.flows_per_image, share=test_share)
    images: list[np.ndarray] = []
    kept: list[Window] = []
    sides: list[bool] = []
    for tested, rows in ((False, ~test), (True, test)):
        for window in _windows(flows.take(rows), settings):
            images.append(window_image(window.values, side=side, layout=layout))
            kept.append(replace(window, values=window.values[:0]))
            sides.append(tested)
    if not kept:
        got = f"{tally.rows} flows, fewer than {settings.flows_per_image} of any stream"
        fix = "use a longer file, or a smaller --flows-per-image"
        raise DataError(explain(f"windows of {path}", got=got, expected="at least one", fix=fix))
    levels = schema.label.levels
    return FlowImages(
        settings=settings,
        images=np.stack(images),
        labels=np.array([window.label for window in kept], np.int64),
        stations=np.array([schema.station.names[window.station] for window in kept]),
        types=np.array(["" if window.type is None else levels[window.type] for window in kept]),
        lines=np.array([(window.first_line, window.last_line) for window in kept], np.int64),
        attack_shares=np.array([window.attack_share for window in kept], np.float64),
        test=np.array(sides),
        tally=tally,
    )


def save_images(made: FlowImages, folder: Path, *, source: dict[str, Any], replace: bool = False) -> dict[str, Any]:
    """Write the folder as a whole or not at all; `source` is what is known of the CSV. Returns what `flows.json` holds.

    With `replace`, what was there before goes when the new one is whole.

    Raises `DataError` where the training part is empty.
    """
    settings = made.settings
    totals = {name: int(np.sum(made.labels == y)) for y, name in enumerate(settings.flow_schema.class_names)}
    seen = flows_seen(settings.flows_per_image, len(settings.features), side=settings.side, layout=settings.layout)
    facts = {
        "source": source,
        "windows": {"total": totals, **made.counts()},
        "features": len(settings.features),
        "flows_seen": round(seen, 2),
        "read": made.tally.facts(),
        "settings": settings.model_dump(mode="json"),
    }
    building = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        for part, rows in (("train", np.flatnonzero(~made.test)), ("test", np.flatnonzero(made.test))):
            if len(rows):
                _write_part(made, rows, building / f"{part}.parquet")
        write_json(building / FLOWS_FILE, facts)
        if replace:
            shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return facts


def _read(path: Path, settings: ImageSettings, tally: Tally) -> Iterator[FlowChunk]:
    return read_flows(path, settings.flow_schema, keep_leaking=settings.keep_leaking, tally=tally)


def _compact(chunk: FlowChunk) -> FlowChunk:
    """With the pixels as images have them: a byte a cell, and a file of millions of flows fits in memory."""
    return replace(chunk, values=eight_bit(chunk.values))


def _windows(flows: FlowChunk, settings: ImageSettings) -> Iterator[Window]:
    return windows(
        [flows],
        settings.flow_schema,
        kind=settings.window,
        by=settings.by,
        size=settings.flows_per_image,
        attack_share=settings.attack_share,
    )


def _write_part(made: FlowImages, rows: np.ndarray, path: Path) -> None:
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(made.settings.flow_schema.class_names)),
            "station": datasets.Value("string"),
            "type": datasets.Value("string"),
            "first_line": datasets.Value("int64"),
            "last_line": datasets.Value("int64"),
            "attack_share": datasets.Value("float64"),
        }
    )
    columns = {
        "image": [{"bytes": _png(image), "path": None} for image in made.images[rows, 0]],
        "label": made.labels[rows].tolist(),
        "station": made.stations[rows].tolist(),
        "type": made.types[rows].tolist(),
        "first_line": made.lines[rows, 0].tolist(),
        "last_line": made.lines[rows, 1].tolist(),
        "attack_share": made.attack_shares[rows].tolist(),
    }
    # As `datasets` writes it, with its features in the schema, but compressed.
    pq.write_table(pa.Table.from_pydict(columns, schema=features.arrow_schema), path, compression="zstd")


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    # The table around it is compressed, in a fraction of the time.
    Image.fromarray(image).save(buffer, format="PNG", compress_level=0)
    return buffer.getvalue()
