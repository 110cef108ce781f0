"""Names that a table makes valid, and entries that a table names instead of importing."""

import math
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from collabdm.protocol import LOCAL_METHODS
from collabdm.registry import named_in, resolved_entry


def test_a_name_is_valid_from_when_it_is_registered_until_it_is_not() -> None:
    table: dict[str, object] = {"first": 1}
    adapter = TypeAdapter(Annotated[str, named_in(table)])
    assert adapter.validate_python("first") == "first"
    with pytest.raises(ValidationError, match="one of first"):
        adapter.validate_python("second")
    # The table that is looked at is the one there is when the name is read.
    table["second"] = None
    assert adapter.validate_python("second") == "second"
    del table["first"]
    with pytest.raises(ValidationError, match="one of second"):
        adapter.validate_python("first")


@pytest.mark.parametrize("name", ["", "First", "first ", "constructor", "one of"])
def test_other_text_is_refused_with_all_names_there_are(name: str) -> None:
    adapter = TypeAdapter(Annotated[str, named_in({"first": 1, "second": 2})])
    with pytest.raises(ValidationError) as refused:
        adapter.validate_python(name)
    (error,) = refused.value.errors()
    assert error["msg"] == "Value error, one of first, second"


@pytest.mark.parametrize("value", [7, None, ["first"], {"first": 1}])
def test_what_is_no_text_is_refused_before_the_table_is_asked(value: object) -> None:
    with pytest.raises(ValidationError, match="valid string"):
        TypeAdapter(Annotated[str, named_in({"first": 1})]).validate_python(value)


def test_an_entry_is_itself_or_what_its_text_names() -> None:
    assert resolved_entry(math.sin) is math.sin
    assert resolved_entry(7) == 7
    assert resolved_entry(None) is None
    assert resolved_entry("math:sin") is math.sin
    assert resolved_entry("collabdm.registry:named_in") is named_in


def test_the_module_is_imported_only_when_the_entry_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "entry_of_a_table.py").write_text("def name():\n    return 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    table = {"five": "entry_of_a_table:name"}
    assert "entry_of_a_table" not in sys.modules
    assert resolved_entry(table["five"])() == 5
    monkeypatch.delitem(sys.modules, "entry_of_a_table")


def test_every_local_method_names_a_function() -> None:
    for name, method in LOCAL_METHODS.items():
        assert callable(resolved_entry(method.run)), name


@pytest.mark.parametrize("entry", ["no.such.module:name", "math:no_such_name"])
def test_an_entry_that_names_nothing_is_an_error_of_the_table(entry: str) -> None:
    with pytest.raises((ImportError, AttributeError)):
        resolved_entry(entry)
