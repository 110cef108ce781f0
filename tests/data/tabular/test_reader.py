"""Reading tables: what people have in files, and what is said of what cannot be read."""

import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from collabdm.data import Dataset, load_dataset, load_table, modality_of
from collabdm.data.tabular.column import Column
from collabdm.data.tabular.reader import read_tables
from collabdm.data.tabular.schema import TableSchema, read_schema, schema_bytes
from collabdm.errors import CollabDMError, ConfigError, DataError, DataWarning
from collabdm.tables.modality import Tables

SCHEMA = Tables(
    label="kind",
    columns=(
        Column(name="size", kind="numeric", low=0, high=10),
        Column(name="proto", kind="categorical", levels=("tcp", "udp")),
    ),
)


def csv(folder: Path, text: str, name: str = "t.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode())
    return str(path)


def quietly(source: str, **options: object) -> tuple[Dataset, str]:
    """The data set, and all that was told."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DataWarning)
        found = load_dataset(source, **options)  # pyright: ignore
    return found, " | ".join(str(one.message) for one in told)


def rows(count: int = 12, extra: str = "") -> str:
    lines = [f"{n % 5},{'tcp' if n % 3 else 'udp'},{'ab'[n % 2]}{extra}" for n in range(count)]
    return "\n".join(["size,proto,kind" + (",more" if extra else ""), *lines]) + "\n"


def test_rows_by_a_schema(tmp_path: Path) -> None:
    text = "more,kind,proto,size\n1,b,udp,3.5\n2,a,icmp,99\n3,a, tcp ,\n4, b,,-inf\n"
    found, told = quietly(csv(tmp_path, text), splits=("train",), sample=SCHEMA)
    np.testing.assert_array_equal(found.train.values, np.array([[3.5, 1], [10, -1], [np.nan, 0], [0, np.nan]], "f4"))
    assert found.train.classes == ("a", "b")
    assert found.train.labels.tolist() == [1, 0, 0, 1]
    assert "clipped to the declared range: 2 x size" in told
    assert "1 x proto" in told
    assert "1 further columns passed over: more" in told
    assert found.reading["clipped"] == {"train": {"size": 2}}
    assert found.reading["unknown"] == {"train": {"proto": 1}}
    assert found.reading["missing"] == {"train": {"size": 1, "proto": 1}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty file"),
        ("size,proto,kind\n", "no rows"),
        ("size,proto,other\n1,tcp,a\n", "expected one of size, proto, other"),
        ("size,kind\n1,a\n", "no proto"),
        ("size,proto,kind\n1,tcp,a\n2,udp\n", "line 3: got 2 values; expected 3"),
        ("size,size,kind\n1,2,a\n", "size 2 times"),
        ("size,proto,kind\n1,tcp,a\nfive,tcp,b\n", "row 2, column size: got 'five'; expected a number"),
        ("size,proto,kind\n1,tcp,a\n2,tcp,\n", "row 2, label column kind: got nothing"),
        ("1,tcp,2.5\n1,2,3\n", "a first line of values"),
        ("size,proto,kind\n1,tcp,a\x00\n", "t.csv"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CollabDMError) as raised:
        quietly(csv(tmp_path, text), splits=("train",), sample=SCHEMA)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("größe,kind\n1,ä\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"t\.csv: got text that is not UTF-8"):
        load_dataset(str(tmp_path / "t.csv"), splits=("train",))


def test_what_people_write(tmp_path: Path) -> None:
    """Thousands, an index, an identifier, a constant, nothing at all, dates in words, infinity, blanks, accents."""
    head = " ,id,amount,flag,constant,empty,who,peak,my class\n"
    body = "".join(
        f'{n},{1000 + n},"{n + 1},{500 + n}.5",{str(n % 2 == 0).lower()},7,,'
        f"person {n},{'inf' if n == 3 else n},größe {n % 2}\n"
        for n in range(30)
    )
    found, told = quietly(csv(tmp_path, "\ufeff" + head + body), splits=("train",), options={"label": "my class"})
    names = {column["name"]: column for column in found.preset.declared["columns"]}  # pyright: ignore
    assert set(names) == {"amount", "flag", "peak"}
    assert names["flag"]["levels"] == ("false", "true")
    assert found.train.values[2, 0] == 3502.5
    # Infinity is the end of the range, which finite rows gave.
    assert found.train.values[3, 2] == names["peak"]["high"] < 40
    assert found.train.classes == ("größe 0", "größe 1")
    for why in ("numbers the rows", "one value only", "no values", "too many different texts", "thousands"):
        assert why in told, why
    assert "a real round declares its columns" in told


def test_decimal_commas_and_semicolons(tmp_path: Path) -> None:
    text = "größe;kind\n" + "".join(f"{n},{n}5;{'ab'[n % 2]}\n" for n in range(8))
    found, told = quietly(csv(tmp_path, text), splits=("train",), options={"label": "kind"})
    assert found.train.values[:, 0].tolist() == pytest.approx([n + (n * 10 + 5) / 100 for n in range(8)])
    assert "parted by ';'" in told
    assert "the decimal point" in told


def test_packed_and_tabbed_files_and_parquet_are_alike(tmp_path: Path) -> None:
    plain = csv(tmp_path, rows())
    packed = tmp_path / "p.csv.gz"
    packed.write_bytes(gzip.compress(rows().encode()))
    tabbed = csv(tmp_path, rows().replace(",", "\t"), "t.tsv")
    table = pa.table(
        {"size": [n % 5 for n in range(12)], "proto": ["tcp" if n % 3 else "udp" for n in range(12)],
         "kind": ["ab"[n % 2] for n in range(12)]}
    )  # fmt: skip
    parquet.write_table(table, tmp_path / "q.parquet")
    first, _ = quietly(plain, splits=("train",), options={"label": "kind"})
    for other in (str(packed), tabbed, str(tmp_path / "q.parquet")):
        assert modality_of(other) == "tables"
        again, _ = quietly(other, splits=("train",), options={"label": "kind"})
        assert again.train.digest() == first.train.digest(), other


def test_two_files_are_two_parts_and_a_label_must_be_known(tmp_path: Path) -> None:
    csv(tmp_path, rows(), "train.csv")
    csv(tmp_path, rows(4) + "1,icmp,a\n", "test.csv")
    (tmp_path / "README.md").write_text("of these rows")
    assert modality_of(str(tmp_path)) == "tables"
    found, told = quietly(str(tmp_path), options={"label": "kind"})
    assert (len(found.train), len(found.test)) == (12, 5)
    assert found.reading["unknown"] == {"test": {"proto": 1}}
    assert "test.csv: levels that are not declared" in told
    csv(tmp_path, rows(4) + "1,tcp,zebra\n", "test.csv")
    with pytest.raises(DataError, match=r"test\.csv, row 5, label column kind: got zebra; expected one of the 2"):
        quietly(str(tmp_path), options={"label": "kind"})


def test_a_column_called_split_parts_one_table(tmp_path: Path) -> None:
    text = "x,y,split\n" + "".join(f"{n},{n % 2},{'test' if n > 7 else 'train'}\n" for n in range(10))
    found, told = quietly(csv(tmp_path, text))
    assert (len(found.train), len(found.test)) == (8, 2)
    assert found.train.shape == (1,)
    assert "parted by its column split: 2 test and 8 train" in told.replace(", ", " and ")


def test_a_fraction_is_for_testing_and_groups_stay_together(tmp_path: Path) -> None:
    text = "x,y,patient\n" + "".join(f"{n},{n % 2},p{n // 4}\n" for n in range(40))
    source = csv(tmp_path, text)
    with pytest.raises(DataError, match="--test-fraction"):
        load_dataset(source)
    found, _ = quietly(source, options={"test_fraction": 0.3})
    assert (len(found.train), len(found.test)) == (28, 12)
    assert found.test.counts().tolist() == [6, 6]
    grouped, _ = quietly(source, options={"test_fraction": 0.3, "group": "patient"})
    assert grouped.train.shape == (1,)  # the group is no feature
    sides = [{int(x) // 4 for x in part.values[:, 0]} for part in (grouped.train, grouped.test)]
    assert not sides[0] & sides[1]
    assert len(grouped.test) == 12
    with pytest.raises(ConfigError, match="--test-fraction too"):
        quietly(source, options={"group": "patient"})
    with pytest.raises(DataError, match="group column"):
        quietly(source, options={"test_fraction": 0.3, "group": "nobody"})


def test_the_row_of_an_error_is_that_of_the_file(tmp_path: Path) -> None:
    text = rows(40).replace("4,tcp,a\n", "x,tcp,a\n", 1)
    wrong = text.split("\n").index("x,tcp,a")
    with pytest.raises(DataError, match=f"row {wrong}, column size: got 'x'"):
        quietly(csv(tmp_path, text), options={"test_fraction": 0.3}, sample=SCHEMA)


@pytest.mark.parametrize(("name", "shape", "counts"), [("iris", 4, 3), ("wine", 13, 3), ("breast_cancer", 30, 2)])
def test_built_in_tables_keep_within_what_is_declared(name: str, shape: int, counts: int) -> None:
    found = load_dataset(name)
    assert modality_of(name) == "tables"
    assert found.train.shape == (shape,)
    assert len(found.train.classes) == counts
    assert 0.65 < len(found.train) / (len(found.train) + len(found.test)) < 0.75
    assert "clipped" not in found.reading


def test_a_folder_without_tables_does_not_stand_for_a_built_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`simulate --dataset wine --out wine` writes into such a folder while it reads."""
    monkeypatch.chdir(tmp_path)
    expected = load_dataset("wine")
    run = tmp_path / "wine"
    (run / "distilled").mkdir(parents=True)
    (run / "config.toml").write_text('dataset = "wine"\n')
    (run / "distilled" / "rows.csv").write_text("a,label\n1,x\n")
    found = load_dataset("wine")
    assert (modality_of("wine"), found.name) == ("tables", "wine")
    assert found.train.digest() == expected.train.digest()
    (run / "train.csv").write_text(rows(40))
    (run / "test.csv").write_text(rows(10))
    (run / "config.toml").unlink()
    (run / "distilled" / "rows.csv").unlink()
    (run / "distilled").rmdir()
    assert quietly("wine", label="kind")[0].train.classes == ("a", "b")


def test_frames_are_tables() -> None:
    table = pa.table(
        {"size": [1.0, None, 3.0, 4.0], "proto": ["tcp", "udp", "tcp", "udp"], "kind": ["a", "b", "a", "b"]}
    )
    with pytest.warns(DataWarning, match="missing where the schema says that none are"):
        found = load_table(table, schema=SCHEMA)
    np.testing.assert_array_equal(found.train.values[:, 0], np.array([1, np.nan, 3, 4], "f4"))
    assert len(found.test) == 0
    pandas = pytest.importorskip("pandas")
    with pytest.warns(DataWarning, match="1 x size"):
        again = load_table(pandas.DataFrame(table.to_pydict()), schema=SCHEMA)
    assert again.train.digest() == found.train.digest()
    with pytest.raises(DataError, match="frame of pandas"):
        load_table(7, label="kind")


def test_a_schema_file_comes_back_and_says_which_column_is_wrong(tmp_path: Path) -> None:
    schema = TableSchema(label="kind", columns=SCHEMA.columns)
    path = tmp_path / "schema.json"
    path.write_bytes(schema_bytes(schema))
    assert read_schema(path) == schema
    path.write_text(path.read_text().replace('"high": 10.0', '"high": "ten"'))
    with pytest.raises(ConfigError, match=r"schema\.json: column size, high: got 'ten'"):
        read_schema(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match="a JSON file"):
        read_schema(path)


def test_parquet_of_lists_or_pictures_is_no_table(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": [[1, 2]], "y": [0]}), tmp_path / "lists.parquet")
    assert modality_of(str(tmp_path / "lists.parquet")) == "series"
    assert modality_of("digits") == "images"
    assert modality_of(str(tmp_path / "nowhere")) == "images"


def test_a_folders_own_schema_declares_its_columns_and_classes(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("x,y,kind\n5,1,b\n6,2,b\n30,3,b\n")
    (tmp_path / "test.csv").write_text("x,y,kind\n7,1,a\n")
    columns = (Column(name="x", kind="numeric", low=0, high=20),)
    schema = TableSchema(label="kind", columns=columns, classes=("b", "a", "c"))
    (tmp_path / "schema.json").write_bytes(schema_bytes(schema))
    assert read_schema(tmp_path / "schema.json") == schema
    with pytest.warns(DataWarning) as told:
        data = load_dataset(str(tmp_path))
    assert not [one for one in told if "as its train part has them" in str(one.message)]
    assert data.train.values.tolist() == [[5], [6], [20]]
    assert (data.train.classes, data.test.labels.tolist()) == (("b", "a", "c"), [1])
    assert data.reading["clipped"] == {"train": {"x": 1}}
    (tmp_path / "test.csv").write_text("x,y,kind\n7,1,d\n")
    with pytest.raises(DataError, match="or of the schema"), warnings.catch_warnings(action="ignore"):
        load_dataset(str(tmp_path))


def test_a_schema_of_another_kind_in_the_folder_is_told_and_passed_over(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("x,kind\n5,b\n6,a\n7,a\n")
    (tmp_path / "schema.json").write_text('{"$schema": "https://json-schema.org"}')
    with pytest.warns(DataWarning) as told:
        load_dataset(str(tmp_path), splits=("train",), options={"label": "kind"})
    lines = [str(one.message) for one in told]
    assert any("schema.json: passed over, since it declares no label and columns" in line for line in lines)
    assert any("1 columns as its train part has them" in line for line in lines)


@pytest.mark.parametrize("classes", [["a", "a"], ["\u00e9", "e\u0301"]])
def test_declared_classes_are_distinct(tmp_path: Path, classes: list[str]) -> None:
    fields = {"label": "kind", "classes": classes, "columns": [{"name": "x", "kind": "numeric", "low": 0, "high": 1}]}
    (tmp_path / "s.json").write_text(json.dumps(fields))
    with pytest.raises(ConfigError, match="class"):
        read_schema(tmp_path / "s.json")


def test_a_table_that_lies_there_in_two_forms_counts_once(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "rows.csv").write_text("x,label\n1,a\n2,b\n3,a\n4,b\n")
    parquet.write_table(pa.table({"x": [1.0, 2.0, 3.0, 4.0], "label": ["a", "b", "a", "b"]}), folder / "rows.parquet")
    (folder / "columns.png").write_bytes(b"\x89PNG")
    assert modality_of(str(folder)) == "tables"
    found, told = quietly(str(folder), splits=("train",))
    assert "passed over rows.csv, beside files of the same names in another form" in told
    assert found.train.values[:, 0].tolist() == [1, 2, 3, 4]


def of_a_table(source: str, ignore: tuple[str, ...] = ()) -> np.ndarray:
    """All rows of one without parts, by columns that it proposes itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return read_tables(source, ("train",), ignore=ignore).train.values


def test_what_a_file_is_shows_in_its_bytes_and_not_in_its_name(tmp_path: Path) -> None:
    packed = tmp_path / "t.csv"
    text = "a,label\n1.5,x\n2.5,y\n"
    packed.write_bytes(gzip.compress(text.encode()))
    plain = csv(tmp_path, text, "p.csv.gz")
    for source in (str(packed), plain):
        assert of_a_table(source).tolist() == [[1.5], [2.5]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (rows().encode("utf-16"), "got text in UTF-16, .*; fix: save it as UTF-8"),
        (b"PK\x03\x04rest", "got a spreadsheet or a ZIP archive; .*; fix: save the sheet as CSV"),
        (b"PAR1rest", r"got parquet; .*; fix: call it \.parquet"),
        (b"BZh91AY", "got a file packed with bzip2"),
        (b"a,label\n1,\0x\n", "got bytes that are no text"),
        (b"#separator \\x09\n#fields\tuid\tts\tlabel\n1\t2\tx\n", r"got a Zeek log, .* #fields \(uid, ts, label\)"),
        (b"# made in May\na,label\n1,x\n", r"got a remark above the columns' names \(# made in May\)"),
    ],
)
def test_what_only_is_called_a_table_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=words):
        of_a_table(str(tmp_path / "t.csv"))


def test_columns_of_several_files_are_matched_by_name(tmp_path: Path) -> None:
    csv(tmp_path, "a,b,label\n1,2.5,x\n3,4.5,y\n", "north.csv")
    csv(tmp_path, "label,b,a\nx,6.5,5\n", "south.csv")
    assert of_a_table(str(tmp_path)).tolist() == [[1, 2.5], [3, 4.5], [5, 6.5]]
    csv(tmp_path, "label,a,c\nx,6.5,5\n", "south.csv")
    with pytest.raises(
        DataError, match=r"south\.csv: got columns of which it lacks b and has besides c; expected those of"
    ):
        of_a_table(str(tmp_path))


def test_a_column_to_ignore_that_is_not_there_is_a_typing_error(tmp_path: Path) -> None:
    source = csv(tmp_path, "a,b,label\n1,2.5,x\n3,4.5,y\n")
    with pytest.raises(
        DataError, match=r"\(--ignore, --site, .*\), of t\.csv: got bb; expected among a, b, label; fix: correct"
    ):
        of_a_table(source, ignore=("a", "bb"))


def test_only_the_part_that_is_asked_for_is_read(tmp_path: Path) -> None:
    csv(tmp_path, rows() + "3,tcp,\n", "train.csv")
    csv(tmp_path, rows(6), "test.csv")
    found, _ = quietly(str(tmp_path), splits=("test",), options={"label": "kind"})
    assert (len(found.train), len(found.test)) == (0, 6)
    with pytest.raises(DataError, match=r"train\.csv, row 13, label column kind: got nothing"):
        quietly(str(tmp_path), splits=("train", "test"), options={"label": "kind"})


def test_a_share_that_leaves_no_row_to_test_on_is_refused(tmp_path: Path) -> None:
    source = csv(tmp_path, "a,label\n" + "1,x\n2,y\n" * 20)
    with pytest.raises(ConfigError, match=r"--test-fraction: got 0\.001 of 40 rows, which is none; expected a share"):
        quietly(source, options={"test_fraction": 0.001})


def test_frames_and_options_of_the_wrong_kind_are_refused_in_one_line() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": [1, 2, 3, 4], "tag": list("abab"), "kind": list("xxyy")})
    wrong: list[tuple[object, dict[str, object], str]] = [
        (pandas.concat([frame, frame[["tag"]]], axis=1), {}, "columns of table: got tag 2 times; expected distinct"),
        (frame["size"], {}, "got a Series .* expected a path, or a frame"),
        (frame.assign(big=[10**30] * 4), {}, "got a DataFrame .*too large"),
        (frame, {"ignore": "tag"}, r"ignore: got 'tag'; expected a list of columns; fix: ignore=\['tag'\]"),
        (frame, {"test_fraction": "0.2"}, "test_fraction: got '0.2'; expected between 0 and 1"),
        (frame, {"schema": {"label": "kind"}}, "schema: got a dict; expected a TableSchema, its file, or plan.sample"),
    ]
    for table, options, words in wrong:
        with pytest.raises(CollabDMError, match=words):
            load_table(table, label="kind", **options)  # pyright: ignore
    with pytest.raises(ConfigError, match="ignore: got 'petal length"):
        load_dataset("iris", ignore="petal length (cm)")  # pyright: ignore


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.tsv.gz", "no/where.csv"])
def test_a_mistyped_table_is_one_that_is_not_there(tmp_path: Path, name: str) -> None:
    assert modality_of(str(tmp_path / name)) == "tables"
    with pytest.raises(DataError, match=f"table {tmp_path / name}: got no such file"):
        load_dataset(str(tmp_path / name))
