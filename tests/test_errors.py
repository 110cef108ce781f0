"""One line for a user, whatever a stranger's file holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from collabdm.errors import as_json, explain, got_in, nearest_name, printable, shows, told, unknown_name


class _Given(BaseModel, extra="forbid"):
    count: int = Field(1, ge=1, le=9)
    rate: float = Field(1, gt=0, lt=0.5, allow_inf_nan=False)
    on: bool = True
    name: str = Field("x", min_length=1, max_length=3)
    names: list[str] = Field(["x"], min_length=1)
    within: "_Given | None" = None


class _Needed(BaseModel):
    seed: int


@given(st.text())
def test_a_message_is_one_printable_line(got: str) -> None:
    message = explain("name", got=got, expected="words", fix="try again")
    assert all(map(shows, message))
    assert message.startswith("name: got ")
    assert message.endswith("; expected words; fix: try again")


def test_the_end_of_what_is_long_is_left_out() -> None:
    message = explain("factor", got="1" * 5000, expected="1", fix="set it")
    assert message == f"factor: got {'1' * 500} (and 4500 more characters); expected 1; fix: set it"
    whole = explain("factor", got="1" * 500, expected="1", fix="set it")
    assert whole == f"factor: got {'1' * 500}; expected 1; fix: set it"


def test_a_value_is_shown_as_json_whatever_it_is() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    shown = {"2": '"2"', True: "true", None: "null", 2: "2", "x" * 99: '"' + "x" * 39}
    assert {value: as_json(value) for value in shown} == shown
    assert as_json(nested) == "a list"
    assert as_json(10**5000) == "a int"


def test_letters_of_every_script_are_shown_and_nothing_that_moves_or_hides_others() -> None:
    for name in ("می‌رود", "क्‍ष", "\U0001f468‍\U0001f469‍\U0001f467", "grade\u00a0I", "\U0001fae8", "ភាសា​ខ្មែរ"):
        assert printable(name) == name
    # ESC, newline, C1, direction override, isolate and mark, soft hyphen, BOM, surrogate, private use
    for character in "\x1b\n\x96\u202e\u2066\u200f\u00ad\ufeff\ud800\ue000":
        assert printable(f"a{character}b") == "a?b"


@pytest.mark.parametrize(
    ("got", "near"),
    [("colabdm", "collabdm"), ("CollabDM", "collabdm"), ("collabdm_pae", "collabdm-pae"), ("xyz", None), ("", None)],
)
def test_the_name_that_was_meant(got: str, near: str | None) -> None:
    known = ("random-real", "collabdm", "collabdm-pae")
    assert nearest_name(got, known) == near
    told = unknown_name("method", got, known)
    assert told.startswith(f"method: got {got}".rstrip())
    assert "expected one of random-real, collabdm, collabdm-pae; fix: " in told
    assert told.endswith(f"did you mean {near}?" if near else "choose one of them")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("count", "two", "a whole number"),
        ("count", 1.5, "a whole number"),
        ("count", [], "a whole number"),
        ("count", 0, "at least 1"),
        ("count", 10, "at most 9"),
        ("rate", "x", "a number"),
        ("rate", 0, "more than 0"),
        ("rate", 0.5, "less than 0.5"),
        ("rate", float("nan"), "a finite number"),
        ("on", "perhaps", "true or false"),
        ("name", 3, "text"),
        ("name", "", "at least 1 character"),
        ("name", "long", "at most 3 characters"),
        ("names", "x", "a list"),
        ("names", [], "at least 1 item, not 0"),
        ("within", 3, "keys with values, not a single value"),
        ("other", 3, "no such key"),
    ],
)
def test_what_pydantic_expects_is_told_without_its_words(field: str, value: object, expected: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _Given.model_validate({field: value})
    error = refused.value.errors()[0]
    assert told(error) == expected
    assert got_in(error) == repr(value)
    assert got_in(error, str) == str(value)


def test_of_a_key_that_is_missing_nothing_was_got() -> None:
    with pytest.raises(ValidationError) as refused:
        _Needed.model_validate({"other": 1})
    error = refused.value.errors()[0]
    assert (got_in(error), told(error)) == ("nothing", "a value for this key")
