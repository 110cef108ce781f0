import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from collabdm.data.flows.schema import load_schema, schema_names
from collabdm.errors import ConfigError
from data.flows.tiny_flows import TINY, tiny_schema


def test_the_shipped_schemas_are_read_by_name() -> None:
    assert schema_names() == ["5g-nidd", "argus", "unsw-nb15"]
    assert all(load_schema(name).name == name for name in schema_names())


def test_5g_nidd_has_the_papers_44_features_with_those_that_leak_the_order() -> None:
    schema = load_schema("5g-nidd")
    assert len(schema.columns) == 52
    assert len(schema.features(keep_leaking=True)) == 44
    leaking = {column.name for column in schema.columns if column.leaks}
    assert leaking == {"Unnamed: 0", "Seq", "Offset"}
    assert not leaking & {column.name for column in schema.features()}
    # ceil(64 * 64 / 44): as many flows as it takes to fill an image.
    assert (schema.side, schema.flows_per_image) == (64, -(-64 * 64 // 44))
    assert schema.class_names == ("Benign", "HTTPFlood", "SlowrateDoS", "UDPFlood", "Anomalous")


def test_types_are_merged_into_classes_in_the_declared_order() -> None:
    schema = tiny_schema()
    assert schema.class_names == ("benign", "scan", "other")
    assert schema.class_of_type == (0, 1, 2, 2)
    assert schema.benign_class == 0


def test_the_digest_depends_on_what_is_declared() -> None:
    assert tiny_schema().digest() == tiny_schema().digest() != tiny_schema(side=6).digest()


def _column(**changes: Any) -> dict[str, Any]:
    return {"columns": [TINY["columns"][1] | changes, *TINY["columns"][2:]]}


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"speed": 3}, "speed"),
        ({"flows_per_image": 0}, "flows_per_image"),
        ({"benign": "good"}, "benign"),
        ({"classes": {"ok": "benign"}}, "every level"),
        ({"time": "when"}, "when"),
        ({"columns": TINY["columns"][:-1]}, "label"),
        ({"columns": [TINY["columns"][0], *TINY["columns"]]}, "distinct"),
        (_column(transform="code"), "log1p or linear"),
        (_column(high=None), "low < high"),
        (_column(high=0), "low < high"),
        (_column(unit=0), "unit"),
        (_column(missing=2), "missing"),
        ({"station": {"kind": "rows", "names": ["a", "b"]}}, "edge"),
        ({"station": {"kind": "rows", "names": ["a", "b"], "edges": [5], "rows": 5}}, "more than the last edge"),
        ({"station": {"rows": 5}}, "kind rows"),
        ({"station": {"kind": "restart"}}, "column"),
        ({"station": {"names": ["a", "a"]}}, "distinct"),
    ],
)
def test_a_schema_that_contradicts_itself_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], mentions: str
) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(TINY | changes))
    with pytest.raises(ConfigError, match=mentions) as error:
        load_schema(str(path))
    assert "fix: " in str(error.value)


@pytest.mark.parametrize("content", [None, b"not JSON", b"\xff\xfe"])
def test_no_schema_at_all_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "s.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="schema"):
        load_schema(str(path))


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"host": "dur"}, "column dur must be text here"),
        ({"station": {"kind": "column", "column": "ttl", "names": ["1"]}}, "column ttl must be text here"),
        ({"station": {"kind": "restart", "column": "port", "names": ["1"]}}, "column port must be a number here"),
        ({"time": "proto"}, "column proto must be a number here"),
    ],
)
def test_a_column_is_read_in_one_way(changes: dict[str, Any], mentions: str) -> None:
    with pytest.raises(ValidationError, match=mentions):
        tiny_schema(**changes)
    tiny_schema(host="tool", time="dur", station={"kind": "restart", "column": "no", "names": ["1"]})
