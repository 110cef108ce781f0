"""The notebooks: they run from top to bottom, and no output of anybody's run is kept in them.

Cells are plain Python, so the standard library runs them in one process each; no kernel is needed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BOOKS = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.ipynb"))


def cells(book: Path, kind: str) -> list[dict[str, Any]]:
    read = json.loads(book.read_text(encoding="utf-8"))
    assert (read["nbformat"], read["nbformat_minor"]) == (4, 5)
    return [cell for cell in read["cells"] if cell["cell_type"] == kind]


def test_there_are_three() -> None:
    assert [book.stem for book in BOOKS] == ["compare-methods", "first-round", "your-own-data"]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_each_cell_is_plain_python_without_an_output(book: Path) -> None:
    found = cells(book, "code")
    assert found
    for cell in found:
        assert (cell["outputs"], cell["execution_count"], cell["metadata"]) == ([], None, {})
        compile("".join(cell["source"]), book.name, "exec")


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_each_tells_what_it_shows_and_links_lead_somewhere(book: Path) -> None:
    told = ["".join(cell["source"]) for cell in cells(book, "markdown")]
    assert told[0].startswith("# ")
    named = [
        word for text in told for word in text.replace("(", " ").replace(")", " ").split() if word.endswith(".ipynb")
    ]
    assert all((book.parent / name).exists() for name in named)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("first-round", "test images right"),
        ("your-own-data", "test images right"),
        ("compare-methods", "kB up for each client"),
    ],
)
def test_it_runs_in_an_empty_folder(name: str, says: str, tmp_path: Path) -> None:
    (book,) = [book for book in BOOKS if book.stem == name]
    script = "\n\n".join("".join(cell["source"]) for cell in cells(book, "code"))
    environment = os.environ | {"MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
