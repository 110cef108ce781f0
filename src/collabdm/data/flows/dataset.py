"""From a CSV of flows to a data set of images on disk that every other command reads.

A folder: `train.parquet` and `test.parquet` with the columns `image`, `label`, `station`, `type` (of pure windows),
`first_line`, `last_line` (of the CSV that the part is of) and `attack_share`; and `flows.json`, the settings that made
the images, the counts, and what was repaired.
"""

import io
from collections.abc import Iterator, Sequence
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
from collabdm.data.flows.notes import notes
from collabdm.data.flows.official_test import check_test_file, schema_of_test_file
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.split import for_testing, test_side
from collabdm.data.flows.tally import Tally
from collabdm.data.flows.windows import Window, windows
from collabdm.errors import DataError, explain
from collabdm.storage.files import built_folder, write_json

__all__ = ["FlowImages", "images_of", "save_images"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowImages:
    """n windows as images: those for training, then those for testing, each in the order of their last lines.

    `images` uint8 [n, 1, side, side], `labels` int64 [n] (classes), `stations` and `types` text [n], `lines` int64 [n,
    2] (first and last), `attack_shares` float64 [n], `test` bool [n]; `flows` int64 [classes] is how many flows of each
    class were read; `tally` is what reading repaired. With a test file, `test_tally` is that of its own, and
    `test_stations` names the stations of its windows.
    """

    settings: ImageSettings
    images: np.ndarray
    labels: np.ndarray
    stations: np.ndarray
    types: np.ndarray
    lines: np.ndarray
    attack_shares: np.ndarray
    test: np.ndarray
    flows: np.ndarray
    tally: Tally
    test_tally: Tally | None = None
    test_stations: tuple[str, ...]

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Windows by part (`train`, `test`), class and station."""
        schema = self.settings.flow_schema
        return {
            part: {
                name: {site: int(np.sum(side & (self.labels == y) & (self.stations == site))) for site in sites}
                for y, name in enumerate(schema.class_names)
            }
            for part, side, sites in (
                ("train", ~self.test, schema.station.names),
                ("test", self.test, self.test_stations),
            )
        }


def images_of(
    path: Path, settings: ImageSettings, *, test_share: float = 0.0, test_path: Path | None = None
) -> FlowImages:
    """Read a labelled CSV, split its flows, cut windows on each side and make images.

    With `test_path`, its windows are those for testing, and all of `path` is for training. A station rule by rows is of
    the training file alone; the test file is then one station.

    Raises `DataError` for a file that the schema does not describe or that makes no window, `ConfigError` for settings
    that do not fit together.
    """
    side, layout = settings.side, settings.layout
    flows_seen(settings.flows_per_image, len(settings.features), side=side, layout=layout)
    for_testing(0, test_share)
    if test_path is not None:
        check_test_file(path, test_path, test_share)
    part = _read(path, settings)
    assert part.flows.types is not None
    if test_path is None:
        stations = part.flows.stations
        test = test_side(stations, part.flows.types, size=settings.flows_per_image, share=test_share)
        return _made([(False, part, ~test), (True, part, test)])
    schema = schema_of_test_file(settings.flow_schema)
    tested = _read(test_path, settings.model_copy(update={"flow_schema": schema}))
    return _made([(False, part, np.ones(len(part.flows), bool)), (True, tested, np.ones(len(tested.flows), bool))])


def _made(sides: Sequence[tuple[bool, "_Part", np.ndarray]]) -> FlowImages:
    """Windows and images of two sides: (whether for testing, the flows of its file, which of them)."""
    settings, tally = sides[0][1].settings, sides[0][1].tally
    images: list[np.ndarray] = []
    kept: list[Window] = []
    stations: list[str] = []
    tested: list[bool] = []
    for testing, part, rows in sides:
        found = len(kept)
        for window in _windows(part.flows.take(rows), part.settings):
            images.append(window_image(window.values, side=settings.side, layout=settings.layout))
            kept.append(replace(window, values=window.values[:0]))
            stations.append(part.settings.flow_schema.station.names[window.station])
            tested.append(testing)
        if len(kept) == found and (not testing or part.tally is not tally):
            raise _no_windows(part)
    schema, (_, last, _) = settings.flow_schema, sides[-1]
    levels, classes = schema.label.levels, np.array(schema.class_of_type)
    types = [part.flows.types[rows] for _, part, rows in sides if part.flows.types is not None]
    return FlowImages(
        settings=settings,
        images=np.stack(images),
        labels=np.array([window.label for window in kept], np.int64),
        stations=np.array(stations),
        types=np.array(["" if window.type is None else levels[window.type] for window in kept]),
        lines=np.array([(window.first_line, window.last_line) for window in kept], np.int64),
        attack_shares=np.array([window.attack_share for window in kept], np.float64),
        test=np.array(tested),
        flows=np.bincount(classes[np.concatenate(types)], minlength=len(schema.class_names)),
        tally=tally,
        test_tally=None if last.tally is tally else last.tally,
        test_stations=last.settings.flow_schema.station.names,
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
        "notes": notes(made.labels, made.test, made.flows, settings),
        "read": made.tally.facts(),
        **({} if made.test_tally is None else {"read_test": made.test_tally.facts()}),
        "settings": settings.model_dump(mode="json"),
    }
    with built_folder(folder, replace=replace) as building:
        for part, rows in (("train", np.flatnonzero(~made.test)), ("test", np.flatnonzero(made.test))):
            if len(rows):
                _write_part(made, rows, building / f"{part}.parquet")
        write_json(building / FLOWS_FILE, facts)
    return facts


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """All flows of one file, with the pixels as images have them: a byte a cell, so that millions fit in memory."""

    path: Path
    flows: FlowChunk
    settings: ImageSettings
    tally: Tally


def _read(path: Path, settings: ImageSettings) -> _Part:
    tally = Tally()
    chunks = read_flows(path, settings.flow_schema, keep_leaking=settings.keep_leaking, tally=tally)
    flows = joined([replace(chunk, values=eight_bit(chunk.values)) for chunk in chunks])
    return _Part(path=path, flows=flows, settings=settings, tally=tally)


def _no_windows(part: _Part) -> DataError:
    got = f"{part.tally.rows} flows, fewer than {part.settings.flows_per_image} of any stream"
    fix = "use a longer file, or a smaller --flows-per-image"
    return DataError(explain(f"windows of {part.path}", got=got, expected="at least one", fix=fix))


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
