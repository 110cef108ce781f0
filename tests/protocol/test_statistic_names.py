"""Which statistics a plan asks for: one spelling for each choice, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from collabdm.matching.statistic import STATISTICS
from collabdm.protocol import GRAM, asks_gram, per_seed
from collabdm.protocol.statistic_names import StatisticNames

NAMES = TypeAdapter[Any](StatisticNames)


@pytest.mark.parametrize(
    ("given", "read", "seeds", "gram"),
    [
        ("mean", "mean", "mean", False),
        ("none", "none", "none", False),
        (["moments"], "moments", "moments", False),
        ("gram", "gram", "none", True),
        (["gram"], "gram", "none", True),
        (("none", "gram"), "gram", "none", True),
        ("gram,none", "gram", "none", True),
        (["mean", "gram"], ("mean", "gram"), "mean", True),
        (["gram", "moments"], ("moments", "gram"), "moments", True),
        (" gram , mean ", ("mean", "gram"), "mean", True),
    ],
)
def test_every_choice_has_one_spelling(given: Any, read: Any, seeds: str, gram: bool) -> None:
    names = NAMES.validate_python(given)
    assert names == read
    assert (per_seed(names), asks_gram(names)) == (seeds, gram)
    # As it is written in a plan's JSON, it is read again.
    assert NAMES.validate_python(NAMES.dump_python(names, mode="json")) == names


@given(st.lists(st.sampled_from([*STATISTICS, GRAM]), max_size=4))
def test_a_list_is_read_in_any_order_or_refused_in_any(names: list[str]) -> None:
    def read(given: list[str]) -> Any:
        try:
            return NAMES.validate_python(given)
        except ValidationError:
            return None

    found = read(names)
    assert read(names[::-1]) == found
    allowed = len(set(names)) == len(names) > 0 and len([name for name in names if name != GRAM]) <= 1
    assert (found is not None) == allowed
    if allowed:
        assert per_seed(found) in STATISTICS


@pytest.mark.parametrize(
    "given",
    ["", [], (), None, 3, True, {}, {"mean": 1}, [["mean"]], [None], b"mean", "mean;gram", "Gram", "mean,,gram"],
)
def test_what_names_no_statistics_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match=r"mean.*gram|gram.*without"):
        NAMES.validate_python(given)


def test_a_new_statistic_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="one of mean, moments, direction, none, gram"):
        NAMES.validate_python("second,gram")
    monkeypatch.setitem(STATISTICS, "second", STATISTICS["moments"])
    assert NAMES.validate_python("second,gram") == ("second", "gram")
