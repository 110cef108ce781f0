import itertools
from collections import Counter
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data.flows.chunk import FlowChunk
from collabdm.data.flows.schema import load_schema
from collabdm.data.flows.synthetic import full_blocks
from collabdm.data.flows.windows import Window, WindowKind, windows
from collabdm.errors import DataError
from data.flows.tiny_flows import tiny_schema

Flow = tuple[int, int, str]  # type, station, host


def chunks_of(flows: list[Flow], cuts: list[int], *, labelled: bool = True) -> list[FlowChunk]:
    edges = sorted({0, len(flows), *(cut % (len(flows) + 1) for cut in cuts)})
    rows = np.arange(len(flows))
    whole = FlowChunk(
        values=np.stack([rows, rows + 0.5], axis=1).astype(np.float32) if flows else np.empty((0, 2), np.float32),
        types=np.array([flow[0] for flow in flows], np.int64) if labelled else None,
        stations=np.array([flow[1] for flow in flows], np.int64),
        lines=rows + 2,
        times=rows * 0.1,
        hosts=np.array([flow[2] for flow in flows], str),
    )
    return [whole.take(slice(first, last)) for first, last in itertools.pairwise(edges)]


def slowly(flows: list[Flow], kind: WindowKind, by: str, share: float, pad: bool) -> list[tuple[Any, ...]]:
    """(rows, class, type) of every window, flow by flow."""
    schema = tiny_schema()
    streams: dict[Any, list[int]] = {}
    made: list[list[int]] = []
    for row, (level, station, host) in enumerate(flows):
        key = (station, level if kind == "pure" else None, host if by == "host" else None)
        streams.setdefault(key, []).append(row)
        if len(streams[key]) == schema.flows_per_image:
            made.append(streams.pop(key))
    if pad:
        made += sorted(streams.values(), key=lambda rows: rows[-1])
    found = []
    for rows in made:
        classes = Counter(schema.class_of_type[flows[row][0]] for row in rows)
        attacks = sum(classes.values()) - classes[0]
        worst = min((y for y in classes if y), key=lambda y: (-classes[y], y), default=0)
        label = worst if attacks and attacks / len(rows) >= share else 0
        found.append((rows, label, flows[rows[0]][0] if kind == "pure" else None))
    return found


def shown(window: Window) -> tuple[Any, ...]:
    return window.values[: window.flows, 0].astype(int).tolist(), window.label, window.type


flow_lists = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.sampled_from("ab")), max_size=60)


@given(
    flow_lists,
    st.lists(st.integers(0, 60), max_size=4),
    st.sampled_from(["pure", "time"]),
    st.sampled_from(["station", "host"]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.booleans(),
)
def test_windows_are_those_made_flow_by_flow_wherever_the_chunks_end(
    flows: list[Flow],
    cuts: list[int],
    kind: WindowKind,
    by: Literal["station", "host"],
    share: float,
    pad: bool,
) -> None:
    found = list(
        windows(
            chunks_of(flows, cuts),
            tiny_schema(),
            kind=kind,
            by=by,
            attack_share=share,
            partial="pad" if pad else "drop",
        )
    )
    assert [shown(window) for window in found] == slowly(flows, kind, by, share, pad)
    for window in found:
        rows = shown(window)[0]
        assert window.values.shape == (4, 2)
        assert window.padded == 4 - len(rows)
        assert not window.values[len(rows) :].any()
        assert (window.first_line, window.last_line) == (rows[0] + 2, rows[-1] + 2)
        assert window.first_time == pytest.approx(rows[0] * 0.1)
        assert window.last_time == pytest.approx(rows[-1] * 0.1)
        assert {flows[row][1] for row in rows} == {window.station}
        assert window.host is None or {flows[row][2] for row in rows} == {window.host}


def test_flows_without_labels_make_time_windows_without_labels() -> None:
    chunks = chunks_of([(0, 0, "a")] * 9, [], labelled=False)
    found = list(windows(chunks, tiny_schema(), kind="time", partial="pad"))
    assert [(window.flows, window.label, window.attack_share) for window in found] == [
        (4, None, None),
        (4, None, None),
        (1, None, None),
    ]
    with pytest.raises(DataError, match="--window time"):
        list(windows(chunks, tiny_schema(), kind="pure"))


def test_the_real_files_class_counts_make_the_papers_windows() -> None:
    """Table 1: 5081, 1497, 777, 4865, 706 images; merging after the windows gives one less of three of them."""
    schema = load_schema("5g-nidd")
    types = {level: position for position, level in enumerate(schema.label.levels)}

    def chunks() -> Any:
        for block in full_blocks():
            levels = np.repeat([types["Benign"], types[block.type]], [block.benign, block.malicious])
            lines = np.arange(len(levels))
            stations = np.full(len(levels), int(block.station) - 1)
            yield FlowChunk(values=np.zeros((len(levels), 1), np.float32), types=levels, stations=stations, lines=lines)

    counts = Counter(window.label for window in windows(chunks(), schema))
    assert [counts[y] for y in range(5)] == [5081, 1497, 776, 4864, 705]
