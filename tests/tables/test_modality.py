"""Tables in a plan, in a round, and as they are exported."""

import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from collabdm.config import Config
from collabdm.data.samples import Samples
from collabdm.data.tabular.column import Column
from collabdm.distilled.set import DistilledSet, load
from collabdm.errors import ConfigError, DataError, PlanError
from collabdm.evaluation.judging import training_set
from collabdm.planning import make_plan
from collabdm.protocol import decode_plan, encode_plan
from collabdm.tables.modality import Tables

COLUMNS = (
    Column(name="size", kind="numeric", low=0, high=10, integer=True),
    Column(name="tail", kind="numeric", transform="asinh", scale=1, missing=True),
    Column(name="tongue, côté", kind="categorical", levels=("no", "ja, doch")),
)
TABLES = Tables(label="kind", columns=COLUMNS)


def a_set(samples: torch.Tensor | None = None) -> DistilledSet:
    found = torch.tensor([[0.31, 0.5, 0.1, 0.6, 0.5], [2.0, 0.2, 0.9, 0.1, -0.3]]) if samples is None else samples
    return DistilledSet(
        samples=found, labels=torch.tensor([1, 0]), classes=("a", "b"), sample=TABLES, augment=(), method="m", facts={}
    )


def test_a_plan_carries_the_columns_and_refuses_what_cannot_be() -> None:
    preset = Tables.declared({"label": "kind", "columns": [c.model_dump() for c in COLUMNS]}, "auto")
    assert preset == TABLES
    from collabdm.data.tabular.preset import table_preset
    from collabdm.data.tabular.schema import TableSchema

    facts = table_preset("t", TableSchema(label="kind", columns=COLUMNS), ("a", "b"))
    plan = make_plan(Config(modality="tables", method="collabdm"), clients=["x", "y"], preset=facts)
    assert plan.sample == TABLES
    assert decode_plan(encode_plan(plan)) == plan
    tree = json.loads(encode_plan(plan))
    for change in (
        {"name": "size"},  # twice
        {"name": "kind"},  # the label's
        {"levels": ["x", "x"]},
        {"levels": [f"{n}" for n in range(1001)]},
        {"levels": ["x" * 201]},
        {"levels": ["a\nb"]},
    ):
        changed = json.loads(json.dumps(tree))
        changed["sample"]["columns"][2] |= change
        with pytest.raises(PlanError):
            decode_plan(json.dumps(changed).encode())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "numeric"}, "needs low and high"),
        ({"kind": "numeric", "low": 2, "high": 2}, "low must be below high"),
        ({"kind": "numeric", "transform": "asinh"}, "scale goes with"),
        ({"kind": "categorical"}, "needs levels"),
        ({"kind": "categorical", "levels": ["a"], "low": 1, "high": 2}, "has no range"),
        ({"kind": "numeric", "low": 0, "high": float("inf")}, "finite"),
    ],
)
def test_a_column_that_does_not_agree_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Column.model_validate({"name": "x"} | fields)


def test_a_shape_alone_is_no_table() -> None:
    with pytest.raises(ConfigError, match="--schema"):
        Tables.preset_of("t", (16,), ("a", "b"))


def test_stored_rows_are_checked() -> None:
    TABLES.check((3,))
    with pytest.raises(DataError, match="size, tail"):
        TABLES.check((5,))
    TABLES.check_values(np.array([[1, np.nan, -1]], dtype=np.float32))
    for wrong, words in (([1, np.inf, 0], "finite"), ([1, 0, 2], "levels"), ([1, 0, 0.5], "levels")):
        with pytest.raises(DataError, match=words):
            TABLES.check_values(np.array([wrong], dtype=np.float32))


def test_a_set_is_judged_as_it_is_exported() -> None:
    judged = training_set(a_set()).samples
    assert isinstance(judged, torch.Tensor)
    level = 0.5**0.5
    expected = [[0.4, 0.5, 0, level, 0], [1, 0, 1, level, 0]]  # 6.55 is 7; beyond the range; missing; one level
    torch.testing.assert_close(judged, torch.tensor(expected))
    # Once exported it stays.
    torch.testing.assert_close(TABLES.exported(judged), judged)


def test_files_hold_the_rows_under_their_names(tmp_path: Path) -> None:
    import csv

    from pyarrow import parquet

    chosen = a_set()
    chosen.save(tmp_path / "set")
    folder = tmp_path / "set" / "rows"
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["size", "tail", "tongue, côté", "kind"]
    assert lines[1] == ["7", "3.62686", "no", "b"]  # sinh(2)
    assert lines[2] == ["10", "", "no", "a"]
    table = parquet.read_table(folder / "rows.parquet")
    assert table.column("kind").to_pylist() == ["b", "a"]
    assert table.column("size").to_pylist() == [7, 10]
    assert parquet.read_table(io.BytesIO(chosen.to_file("parquet"))) == table
    assert (tmp_path / "set" / "preview.png").read_bytes()[:4] == b"\x89PNG"
    card = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    assert "tongue, côté" in card
    assert "0 to 10, whole" in card
    assert torch.equal(load(tmp_path / "set").samples, chosen.samples)
    arrays = chosen.to_arrays()
    np.testing.assert_array_equal(arrays["x"][:, 0], [7, 10])


def test_exported_rows_are_read_back_as_the_same_rows(tmp_path: Path) -> None:
    from collabdm.data import load_dataset

    chosen = a_set()
    chosen.to_folder(tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_dataset(str(tmp_path / "out" / "rows.csv"), splits=("train",), sample=TABLES).train
    assert again.classes == ("a", "b")
    seen = TABLES.tensors(again.values, device="cpu", dtype=torch.float32)
    torch.testing.assert_close(seen, TABLES.exported(chosen.samples), atol=1e-5, rtol=1e-5)


def test_hidden_values_do_not_count_as_samples() -> None:
    values = np.zeros((2, 3), dtype=np.float32)
    samples = Samples(values=values, labels=np.array([0, 1]), classes=("a", "b"))
    assert samples.shape == (3,)
    assert TABLES.shape == (5,)
