"""Tables in Markdown, there and back."""

from collabdm.evaluation.markdown import markdown, tables_in


def test_tables_are_read_back_with_bars_and_empty_cells() -> None:
    tables = [
        (["a", "note"], [["", "x | y"], ["1", ""], ["", ""], ["|", "c\\"]]),
        (["only"], [["one"]]),
        (["nothing", "below"], []),
    ]
    assert tables_in("\n\n".join(markdown(header, rows) for header, rows in tables)) == tables
    assert tables_in("") == []
