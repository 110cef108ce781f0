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


def _label(**changes: Any) -> dict[str, Any]:
    return {"columns": [*TINY["columns"][:-1], TINY["columns"][-1] | changes]}


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"speed": 3}, "speed"),
        ({"flows_per_image": 0}, "flows_per_image"),
        ({"benign": "good"}, '"benign": "good"; expected one of ok, scan, flood, odd; fix: write "benign"'),
        (
            {"classes": {"ok": "benign"}},
            'no class of scan, flood, odd; .*every level.*write "scan": a class in "classes"',
        ),
        ({"time": "when"}, '"time": "when"; .*list it in "columns"'),
        ({"columns": TINY["columns"][:-1]}, "label"),
        ({"columns": [TINY["columns"][0], *TINY["columns"]]}, "distinct"),
        (_column(transform="code"), 'column dur: .*fix: write "transform": "log1p" or "transform": "linear"'),
        (_column(high=None), 'column dur: got no "high"; .*fix: write "high": '),
        (_column(high=0), 'got "low": 0 and "high": 0; .*fix: write "high": '),
        (_column(unit=0), 'column dur, unit: got 0; .*fix: write another value for "unit"'),
        (_column(missing=2), 'column dur, missing: got 2; .*value for "missing"'),
        (_column(mising=0), 'column dur, mising: got the key "mising"; .*fix: write "missing" for it'),
        (_column(empty="ok"), '"empty": "ok"; expected a level of the label column; .*write "missing"'),
        (_label(empty="okay"), 'column kind: got "empty": "okay"; .*one of the label\'s "levels"'),
        (_label(levels=[]), 'column kind: got no "levels"; .*fix: write "levels"'),
        (_label(levels=["ok", "scan", "flood"]), 'odd, which are no levels; .*"levels" of column kind'),
        (_label(levels=["ok"]) | {"classes": {"ok": "web \x96 xss"}}, r"class 'web .x96 xss'; .*again, from CP1252"),
        ({"flows_per_images": 3}, 'fix: write "flows_per_image" for it'),
        ({"station": {"kind": "colum"}}, "station.kind: got \"colum\"; expected 'single', 'rows', 'restart' or"),
        ({"station": {"kind": "rows", "names": ["a", "b"]}}, "edge"),
        ({"station": {"kind": "rows", "names": ["a", "b"], "edges": [5], "rows": 5}}, "more than the last of .edges"),
        ({"station": {"kind": "column"}}, 'station: got "kind": "column"; .*fix: write "column": "'),
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


@pytest.mark.parametrize("key", ["name", "columns", "classes", "benign", "flows_per_image", "side"])
def test_a_key_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({name: value for name, value in TINY.items() if name != key}))
    with pytest.raises(ConfigError, match=f'{key}: got no such key; expected the key "{key}"; fix: write "{key}": '):
        load_schema(str(path))


def test_a_schema_by_any_editor(tmp_path: Path) -> None:
    path, text = tmp_path / "s.json", json.dumps(TINY)
    path.write_bytes(text.encode("utf-8-sig"))
    assert load_schema(str(path)) == tiny_schema()
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"got text in UTF-16; .*fix: save the file as UTF-8"):
        load_schema(str(path))
    path.write_text('{"name": "cic",}')
    # Python 3.13 names the comma, earlier versions what follows it.
    with pytest.raises(ConfigError, match=r"got no JSON \(.*line 1 column 1[56]"):
        load_schema(str(path))


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
