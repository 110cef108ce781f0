import bz2
import csv
import gzip
import lzma
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collabdm.data.flows import csv_blocks
from collabdm.data.flows.chunk import FlowChunk, joined
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.schema import Column, FlowSchema, load_schema
from collabdm.data.flows.synthetic import full_blocks, scaled, write_flows
from collabdm.data.flows.tally import Tally
from collabdm.errors import DataError
from data.flows.tiny_flows import HEADER, ROW, TINY, tiny_schema, write_csv


def read(path: Path, schema: FlowSchema | None = None, **more: Any) -> tuple[FlowChunk, dict[str, Any]]:
    tally = Tally()
    return joined(list(read_flows(path, schema or tiny_schema(), tally=tally, **more))), tally.facts()


def refused(path: Path, *mentions: str, schema: FlowSchema | None = None, **more: Any) -> None:
    with pytest.raises(DataError) as error:
        read(path, schema, **more)
    assert all(mention in str(error.value) for mention in (str(path), *mentions)), error.value
    assert "\n" not in str(error.value)


def pixel_of(column: Column, cell: str) -> float:
    """The declared transform of one cell, written down once more."""
    if cell == "":
        assert column.missing is not None
        return column.missing
    if column.kind == "categorical":
        count = len(column.levels) + column.other
        return (column.levels.index(cell) + 1) / count if cell in column.levels else 1.0
    assert column.high is not None
    x = min(max(float(cell), column.low), column.high) - column.low
    span = column.high - column.low
    pixel = (
        math.log(1 + x / column.unit) / math.log(1 + span / column.unit) if column.transform == "log1p" else x / span
    )
    return pixel if column.missing is None else 1 / 8 + pixel * 7 / 8


def test_every_pixel_is_the_declared_transform_of_its_cell(tmp_path: Path) -> None:
    path, schema = tmp_path / "flows.csv", load_schema("5g-nidd")
    write_flows(path, blocks=scaled(full_blocks(), 400), seed=1)
    chunk, facts = read(path, schema, keep_leaking=True)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    features = schema.features(keep_leaking=True)
    named = {"Unnamed: 0": ""}
    expected = [[pixel_of(c, row[named.get(c.name, c.name)]) for c in features] for row in rows]
    np.testing.assert_allclose(chunk.values, expected, rtol=1e-6, atol=1e-7)
    assert chunk.values.dtype == np.float32
    assert chunk.types is not None
    assert [schema.label.levels[t] for t in chunk.types] == [row["Attack Type"] for row in rows]
    assert chunk.lines.tolist() == list(range(2, 402))
    empty = {c.name: sum(row[named.get(c.name, c.name)] == "" for row in rows) for c in features}
    assert facts["missing"] == {name: count for name, count in empty.items() if count}
    without, _ = read(path, schema)
    kept = [position for position, column in enumerate(features) if not column.leaks]
    assert np.array_equal(without.values, chunk.values[:, kept])


def test_stations_follow_the_restarts_of_the_index(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    blocks = scaled(full_blocks(), 300)
    write_flows(path, blocks=blocks, seed=0)
    first = sum(block.benign + block.malicious for block in blocks if block.station == "1")
    chunk, _ = read(path, load_schema("5g-nidd"))
    assert chunk.stations.tolist() == [0] * first + [1] * (300 - first)


def test_a_third_restart_is_refused_with_its_line(tmp_path: Path) -> None:
    rule = {"kind": "restart", "column": "no", "names": ["a", "b"]}
    rows = [ROW.replace("1,", f"{number},", 1) for number in (1, 2, 1, 5, 3)]
    path = write_csv(tmp_path / "flows.csv", *rows)
    refused(path, "line 6", "column no", schema=tiny_schema(station=rule))
    chunk, _ = read(write_csv(path, *rows[:4]), tiny_schema(station=rule))
    assert chunk.stations.tolist() == [0, 0, 1, 1]


def test_stations_by_rows_and_by_a_column(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "flows.csv", *[ROW] * 3, ROW.replace(",x,", ",y,"))
    by_rows, _ = read(path, tiny_schema(station={"kind": "rows", "names": ["a", "b"], "edges": [2]}))
    assert by_rows.stations.tolist() == [0, 0, 1, 1]
    fit = {"kind": "rows", "names": ["a", "b"], "edges": [2], "rows": 4}
    assert read(path, tiny_schema(station=fit))[0].stations.tolist() == [0, 0, 1, 1]
    refused(path, "line 5", "another row", "the 3 rows of the file", schema=tiny_schema(station=fit | {"rows": 3}))
    column = {"kind": "column", "column": "tool", "names": ["y", "x"]}
    assert read(path, tiny_schema(station=column))[0].stations.tolist() == [1, 1, 1, 0]
    refused(path, "line 5", "column tool", "'y'", schema=tiny_schema(station=column | {"names": ["x"]}))


@pytest.mark.parametrize("size", [60, 100, 300])
def test_the_size_of_blocks_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    schema = tiny_schema(station={"kind": "rows", "names": ["a", "b"], "edges": [7]}, deduplicate=True)
    rows = [f"{n},{n % 3},,{n},CON,tcp,x,ok" for n in range(40)] + ["", ROW, ROW]
    path = write_csv(tmp_path / "flows.csv", *rows)
    whole, facts = read(path, schema)
    monkeypatch.setattr(csv_blocks, "BLOCK", size)
    parts, same = read(path, schema)
    assert facts == same
    for name in ("values", "types", "stations", "lines"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_gzip_byte_order_mark_crlf_and_other_orders_of_columns_read_the_same(tmp_path: Path) -> None:
    plain, _ = read(write_csv(tmp_path / "a.csv", ROW, ROW.replace("ok", "odd")))
    content = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")))
    order = [7, 3, 2, 6, 1, 0, 4, 5]
    lines = [",".join(line.split(",")[k] for k in order) for line in content.decode().splitlines()]
    write_csv(tmp_path / "c.csv", *(line + ",more" for line in lines[1:]), header=lines[0] + ",further")
    for name in ("b.csv.gz", "c.csv"):
        other, facts = read(tmp_path / name)
        assert np.array_equal(plain.values, other.values)
        assert plain.types is not None
        assert other.types is not None
        assert np.array_equal(plain.types, other.types)
        assert facts["ignored_columns"] == (["further"] if name == "c.csv" else [])


def test_repairs_are_counted_by_column(tmp_path: Path) -> None:
    rows = (
        ROW,
        " 1,0.5 ,64,80, CON,tcp ,x, ok ",
        "",
        "1,0.5,,0x50,CON,tcp,x,ok",
        "1,0.5, ,0120,CON,tcp,x,ok",
        "1,500,NaN,80,XXX,tcp,x,ok",
        "1,-1,inf,80,YYY,tcp,x,ok",
    )
    chunk, facts = read(write_csv(tmp_path / "flows.csv", *rows), keep_leaking=True)
    assert facts == {
        "rows": 6,
        "blank_lines": 1,
        "duplicates": 0,
        "ignored_columns": [],
        "clipped": {"dur": 2, "ttl": 1},
        "missing": {"ttl": 3},
        "other": {"state": 2},
        "ports": {"port": 2},
        "trimmed": {"no": 1, "dur": 1, "ttl": 1, "state": 1, "proto": 1, "kind": 1},
    }
    assert np.array_equal(chunk.values[1], chunk.values[0])
    assert chunk.lines.tolist() == [2, 3, 5, 6, 7, 8]
    # Hexadecimal 50 and octal 120 are both port 80.
    assert np.ptp(chunk.values[:, 3]) == 0


@pytest.mark.parametrize(
    ("row", "mentions"),
    [
        ("1,fast,64,80,CON,tcp,x,ok", ("column dur", "'fast'", "a number")),
        (" 1,fast,64,80,CON,tcp,x,ok", ("column dur", "'fast'")),
        ("1,,64,80,CON,tcp,x,ok", ("column dur", "an empty cell")),
        ("1,0.5,64,80,CON,sctp,x,ok", ("column proto", "'sctp'", "tcp, udp")),
        ("1,0.5,64,80,CON,,x,ok", ("column proto", "an empty cell")),
        ("1,0.5,64,http,CON,tcp,x,ok", ("column port", "'http'")),
        ("1,0.5,64,0x1ffff,CON,tcp,x,ok", ("column port", "0x1ffff")),
        ("1,0.5,64,089,CON,tcp,x,ok", ("column port", "089")),
        ("1,0.5,64,80,CON,tcp,x,evil", ("column kind", "'evil'")),
        ("1,0.5,64,80,CON,tcp,x,", ("column kind", "an empty cell")),
        ("1,0.5,64,80,CON,tcp,x", ("7 cells", "8")),
        ("1,0.5,64,80,CON,tcp,x,ok,ok", ("9 cells", "8")),
        ("1,0.5,64,80,CON,tcp,x,ok,", ("9 cells, the last one empty", "8", "sed '2,$s/,\\r*$//' flows.csv")),
        ('1,"1,234,567",64,80,CON,tcp,x,ok', ("column dur", "'1,234,567'", "nothing between thousands")),
        ('1,"0,5",64,80,CON,tcp,x,ok', ("column dur", "'0,5'", "a decimal point")),
        ("1,null,64,80,CON,tcp,x,ok", ("column dur", "an empty cell", '"missing": 0 (its pixel) for column dur')),
        ("1,0.5,64,80,CON,tcp,x,OK", ("column kind", "'OK'", "there is 'ok', written otherwise")),
        ("1,fast,slow,80,CON,tcp,x,ok", ("column dur", "'fast'")),
        ("1,0.5,64,80,CO\0N,tcp,x,ok", ("column state", "NUL")),
        ("1,0.5,64,80,CON,tcp,x\0,ok", ("column #7", "NUL")),
        ('1,0.5,64,80,"CON,tcp,x,ok', ("column state", "a quote that is not closed")),
        ('1,0.5,64,80,CON,tcp,"x,ok\n",ok', ("column #7", "a quote that is not closed")),
        ("1,0.5,64,80,CON,tcp,x,ok\r" + ROW, ("column kind", "a carriage return within a line")),
        ("1,0.5,64,80,CON,tcp,x," + "e" * 10_000, ("column kind", "'" + "e" * 99 + "...; expected one of")),
    ],
)
@pytest.mark.parametrize("blank", [False, True])
def test_a_bad_cell_is_named_by_line_and_column(
    tmp_path: Path, row: str, mentions: tuple[str, ...], blank: bool
) -> None:
    before = [ROW, "", ROW] if blank else [ROW] * 2
    path = write_csv(tmp_path / "flows.csv", *before, row, ROW)
    refused(path, f"line {5 if blank else 4}", *mentions)


def test_bytes_that_are_not_utf8_are_named_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    path.write_bytes("\n".join([HEADER, ROW, ROW.replace("CON", "CÖN"), ROW]).encode("latin1"))
    refused(path, "line 3", "column state", "0xd6")
    # Also in a row that is too short, and in a column that nobody needs.
    for row, column in (("1,0.5,64,80,CÖN", "state"), (ROW.replace(",x,", ",Ö,"), "#7")):
        path.write_bytes("\n".join([HEADER, ROW, row, ROW]).encode("latin1"))
        refused(path, "line 3", f"column {column}", "0xd6")
    path.write_bytes("\n".join([HEADER, ROW]).encode("utf-16"))
    refused(path, "line 1", "UTF-16")
    path.write_bytes("\n".join([HEADER + ",Größe", ROW + ",1"]).encode("latin1"))
    refused(path, "line 1", "0xf6", "('ö' in Windows' CP1252)", "iconv -f CP1252 -t UTF-8 flows.csv")
    # A dash of Windows, which Latin 1 would make a control character; and a byte that CP1252 has not.
    path.write_bytes("\n".join([HEADER, ROW.replace("ok", "web \u2013 xss")]).encode("cp1252"))
    refused(path, "line 2", "column kind", "0x96", "'\u2013'", "iconv -f CP1252 -t UTF-8 flows.csv > utf8.csv")
    path.write_bytes(HEADER.encode() + b"\n" + ROW.encode().replace(b"ok", b"\x81"))
    refused(path, "line 2", "column kind", "0x81", "find out its encoding")


@pytest.mark.parametrize(
    ("content", "mentions"),
    [
        (b"", ("line 1", "an empty file")),
        (b"\n\n", ("line 1", "an empty file")),
        (HEADER.encode() + b"\n", ("line 2", "no rows")),
        (HEADER.encode() + b"\n\n\n", ("line 2", "no rows")),
        ((HEADER.replace(",", ";") + "\n" + ROW).encode(), ("line 2", "1 cells", "8, as the header has")),
        (("; ".join(["a"] * 9) + "\n" + ROW).encode(), ("line 1", "commas (or semicolons, tabs, bars)")),
        ((ROW + "\n" + ROW).encode(), ("line 1", "no column dur, ttl, port, state, proto and 1 more", "a header line")),
        (b"PK\x03\x04" + bytes(100), ("File is not a zip file", "packed (.gz, .bz2, .xz, .zip)")),
        (b"\x28\xb5\x2f\xfd" + bytes(100), ("a zstd archive", "unpack it")),
        (bz2.compress((HEADER + "\n" + ROW).encode())[:-12], ("readable .csv",)),
        (lzma.compress((HEADER + "\n" + ROW).encode())[:-12], ("readable .csv",)),
        (b"a\0,b\0\n", ("line 1", "NUL bytes")),
        (HEADER.encode() + b"\n" + ROW.encode() + bytes(2000), ("line 2, column kind", "NUL")),
        (
            (HEADER.replace("ttl", "TTL") + "\n" + ROW).encode(),
            ("line 1", "no column ttl", "the file's TTL may be the schema's ttl"),
        ),
        ((HEADER.replace("tool", "ttl") + "\n" + ROW).encode(), ("line 2", "ttl (the file's column 7)", "'x'")),
        ((HEADER + "\r" + ROW + "\r").encode(), ("line 1", "carriage returns")),
        (gzip.compress((HEADER + "\n" + ROW).encode(), mtime=0)[:-12], ("readable .csv",)),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes, mentions: tuple[str, ...]) -> None:
    path = tmp_path / "flows.csv"
    path.write_bytes(content)
    refused(path, *mentions)
    refused(tmp_path / "none.csv", "No such file")


@pytest.mark.parametrize("packed", ["gz", "two members", "bz2", "xz", "zip"])
def test_a_packed_file_reads_as_the_plain_one(tmp_path: Path, packed: str) -> None:
    plain = write_csv(tmp_path / "plain.csv", ROW, ROW.replace("ok", "odd"))
    content, path = plain.read_bytes(), tmp_path / "flows"  # its name does not matter
    if packed == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__MACOSX/._flows.csv", b"notes")
            archive.writestr("day/flows.csv", content)
    elif packed == "two members":
        path.write_bytes(gzip.compress(content[:50]) + gzip.compress(content[50:]))
    else:
        path.write_bytes({"gz": gzip, "bz2": bz2, "xz": lzma}[packed].compress(content))
    expected, _ = read(plain)
    found, _ = read(path)
    assert np.array_equal(found.values, expected.values)
    assert found.lines.tolist() == [2, 3]


def test_of_an_archive_of_several_files_none_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "flows.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("monday.csv", HEADER)
        archive.writestr("tuesday.csv", HEADER)
    refused(path, "2 files (monday.csv, tuesday.csv)", "give one CSV of it")
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("day")
    refused(path, "0 files")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_cells_may_be_separated_otherwise(tmp_path: Path, separator: str) -> None:
    rows = [ROW, "1, 0.5 ,,80,CON,tcp,x, odd", ",,,,,,,", ROW.replace("64", "-")]
    expected, plain = read(write_csv(tmp_path / "plain.csv", *rows))
    path = write_csv(
        tmp_path / "f.csv", *(r.replace(",", separator) for r in rows), header=HEADER.replace(",", separator)
    )
    found, facts = read(path)
    assert np.array_equal(found.values, expected.values)
    assert facts == plain | {"separator": separator}
    write_csv(path, ROW.replace(",", separator).replace("0.5", "0,5"), header=HEADER.replace(",", separator))
    refused(path, "line 2, column dur", "'0,5'", "a decimal point")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_that_are_no_flows_are_left_out_and_counted_by_kind(tmp_path: Path, end: str) -> None:
    rows = [
        ROW,
        ",,,,,,,",
        "",
        HEADER,
        ROW.replace("ok", "odd"),
        '"", ,"",,,,,',
        ",,",
        "\ufeff" + HEADER,
        ROW,
        ",,,,,,,",
    ]
    chunk, facts = read(write_csv(tmp_path / "f.csv", *rows, end=end))
    assert chunk.lines.tolist() == [2, 6, 10]
    assert (facts["rows"], facts["blank_lines"], facts["empty_rows"], facts["header_lines"]) == (3, 1, 4, 2)
    # With a bad cell behind them the line is still that of the file.
    refused(write_csv(tmp_path / "f.csv", *rows, ROW.replace("64", "no"), end=end), "line 12, column ttl")


def test_a_doubled_column_is_read_once_where_both_say_the_same(tmp_path: Path) -> None:
    header = HEADER + ",ttl,proto,tool"
    rows = [f"{ROW},64.0,tcp,1", ROW.replace("64", "") + ",,tcp,2", f"{ROW},64,tcp,3"]
    chunk, facts = read(write_csv(tmp_path / "f.csv", *rows, header=header))
    expected, _ = read(write_csv(tmp_path / "g.csv", ROW, ROW.replace("64", ""), ROW))
    assert np.array_equal(chunk.values, expected.values)
    assert facts["doubled_columns"] == ["ttl", "proto"]
    for row, mention in ((f"{ROW},65,tcp,1", "64 and 65"), (f"{ROW},64,udp,1", "'tcp' and 'udp'")):
        path = write_csv(tmp_path / "f.csv", *rows, row, header=header)
        refused(path, "line 5, column", mention, "rename or drop")


def test_an_empty_label_is_the_level_that_the_schema_declares(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", ROW, ROW.replace("ok", ""), ROW.replace("ok", " "), ROW.replace("ok", "odd"))
    refused(path, "line 3, column kind", 'write in the schema "empty": "ok" (or another level) for column kind')
    label = TINY["columns"][-1]
    schema = tiny_schema(columns=[*TINY["columns"][:-1], label | {"empty": "scan"}])
    chunk, facts = read(path, schema)
    assert chunk.types is not None
    assert chunk.types.tolist() == [0, 1, 1, 3]
    assert facts["missing"] == {"kind": 2}
    # Or the level itself is empty.
    levels = {"levels": ["ok", "", "odd"]}
    classes = {"ok": "good", "": "benign", "odd": "bad"}
    chunk, _ = read(path, tiny_schema(columns=[*TINY["columns"][:-1], label | levels], classes=classes, benign=""))
    assert chunk.types is not None
    assert chunk.types.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("word", ["nan", "NaN", "null", "NULL", "None", "N/A", "<NA>", "-", "?"])
def test_what_stands_for_no_number_is_an_empty_cell(tmp_path: Path, word: str) -> None:
    chunk, facts = read(write_csv(tmp_path / "f.csv", ROW, ROW.replace("64", word)))
    assert facts["missing"] == {"ttl": 1}
    assert chunk.values[1, 1] == 0


def test_without_labels_neither_they_nor_the_stations_are_needed(tmp_path: Path) -> None:
    schema = tiny_schema(station={"kind": "column", "column": "tool", "names": ["x"]}, time="no", host="tool")
    path = write_csv(tmp_path / "flows.csv", "7,0.5,64,80,CON,tcp, me", header=HEADER.removesuffix(",kind"))
    refused(path, "no column kind", schema=schema)
    chunk, _ = read(path, schema, labelled=False)
    assert chunk.types is None
    assert chunk.times is not None
    assert chunk.hosts is not None
    assert (chunk.stations.tolist(), chunk.times.tolist(), chunk.hosts.tolist()) == ([0], [7.0], ["me"])


def test_repeated_rows_are_left_out_whatever_their_dropped_columns(tmp_path: Path) -> None:
    rows = (
        ROW,
        ROW.replace(",x,", ",y,"),
        ROW.replace("ok", "odd"),
        ROW,
        ROW.replace("64", ""),
        ROW.replace("64", "0"),
    )
    chunk, facts = read(write_csv(tmp_path / "flows.csv", *rows), tiny_schema(deduplicate=True))
    assert chunk.lines.tolist() == [2, 4, 6, 7]
    assert (facts["rows"], facts["duplicates"]) == (6, 2)


def test_where_stations_restart_no_cell_is_empty(tmp_path: Path) -> None:
    schema = tiny_schema(station={"kind": "restart", "column": "no", "names": ["1", "2"]})
    rows = [f"{number}{ROW[1:]}" for number in ("1", "2", "3")]
    path = write_csv(tmp_path / "f.csv", *rows, ROW[1:], *rows[1:])
    with pytest.raises(DataError, match=r"line 5, column no: got an empty cell"):
        list(read_flows(path, schema))


def test_a_header_that_is_no_csv(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", ROW, header="x" * 200_000)
    with pytest.raises(DataError, match="a header that cannot be read"):
        list(read_flows(path, tiny_schema()))
