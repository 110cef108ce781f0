"""Sites by a column, from Python: what `--label`, `--ignore` and `--site` say on the command line."""

from pathlib import Path

import numpy as np
import pytest

import collabdm
from collabdm.errors import CollabDMError, ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("ignore::collabdm.errors.DataWarning")


@pytest.fixture
def table(tmp_path: Path) -> str:
    rows = [f"{n % 7},{n % 5},{'north' if n < 9 else 'south'},{'ab'[n % 2]}" for n in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["x,answer,station,kind", *rows]) + "\n")
    return str(tmp_path / "t.csv")


def test_a_table_is_read_and_shared_as_on_the_command_line(table: str) -> None:
    data = collabdm.load_dataset(table, splits=("train",), label="kind", ignore=["answer"], site="station")
    assert [column["name"] for column in data.preset.declared["columns"]] == ["x"]  # pyright: ignore
    sites = collabdm.partition(data)
    assert {name: len(own) for name, own in sites.items()} == {"north": 9, "south": 11}
    np.testing.assert_array_equal(sites["north"].values, data.train.values[:9])
    assert collabdm.partition(data, column="station").keys() == sites.keys()
    assert sum(map(len, collabdm.partition(data, 3, kind="iid").values())) == 20
    both = collabdm.load_dataset(table, label="kind", site="station", test_fraction=0.25)
    assert (len(both.test), sum(map(len, collabdm.partition(both).values()))) == (5, 15)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"label": "kind", "site": "place"}, DataError, "place"),
        ({"label": "kind", "ignore": ["typo"]}, DataError, "typo"),
        ({"label": "kind", "colour": "red"}, ConfigError, "got colour for tables"),
    ],
)
def test_what_the_table_has_not_is_named(table: str, options: dict, kind: type[CollabDMError], words: str) -> None:
    with pytest.raises(kind, match=words):
        collabdm.load_dataset(table, splits=("train",), **options)


def test_a_column_needs_data_that_have_it(table: str) -> None:
    data = collabdm.load_dataset(table, splits=("train",), label="kind")
    for given, column in ((data, "typo"), (data.train, "station")):
        with pytest.raises(ConfigError, match=f"partition column: got {column}"):
            collabdm.partition(given, column=column)
    with pytest.raises(ConfigError, match="got iid and a column"):
        collabdm.partition(data, kind="iid", column="station")
