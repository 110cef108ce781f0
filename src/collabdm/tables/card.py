"""What the card of a distilled set says of its rows."""

from collections.abc import Sequence
from dataclasses import replace

from collabdm.data.tabular.column import Column
from collabdm.errors import markdown_text
from collabdm.modality import CardText, Labelled

__all__ = ["card_text"]

_MOST_COLUMNS, _MOST_LEVELS = 100, 8

# `{digest}` is filled in by the card's writer, as for images.
_DATA_FILES = """configs:
- config_name: rows-{digest}
  data_files:
  - split: train
    path: rows/rows.parquet
"""

_LOADING = """`rows/rows.parquet` and `rows/rows.csv` hold the rows under the names of their columns, with the class in
the column `{label}`; `rows/schema.json` says what is declared of every column.

```python
from datasets import load_dataset

rows = load_dataset("parquet", data_files="rows/rows.parquet")["train"]
```

They are within their ranges, whole where a column has whole numbers, and have one level each. Accuracies that CollabDM
tells are of these. `distilled.safetensors` holds the tensors `rows` (float32, as networks see them, not rounded) and
`labels` (int64)."""


def card_text(columns: Sequence[Column], label: str, shown: Labelled, plain: CardText) -> CardText:
    """The `plain` card with the table of the schema and the files."""
    rows = [
        f"| {markdown_text(column.name)} | {column.kind} | {_declared(column)} |" for column in columns[:_MOST_COLUMNS]
    ]
    if len(columns) > _MOST_COLUMNS:
        rows.append(f"| and {len(columns) - _MOST_COLUMNS} more | | in `rows/schema.json` |")
    schema = "\n".join(["| Column | Kind | Declared |", "| --- | --- | --- |", *rows])
    return replace(
        plain,
        task="tabular-classification",
        classes=f"{plain.classes}\n\n## Schema\n\nThe label is in the column `{markdown_text(label)}`.\n\n{schema}",
        loading=_LOADING.format(label=markdown_text(label)),
        preview="![Histograms of all columns over their declared ranges](preview.png)",
        data_files=_DATA_FILES,
    )


def _declared(column: Column) -> str:
    also = ", may be missing" if column.missing else ""
    if column.kind == "categorical":
        more = f" and {len(column.levels) - _MOST_LEVELS} more" if len(column.levels) > _MOST_LEVELS else ""
        return f"{', '.join(map(markdown_text, column.levels[:_MOST_LEVELS]))}{more}{also}"
    scale = f", asinh in units of {column.scale:g}" if column.scale else ""
    span = f"{column.low:g} to {column.high:g}" if column.low is not None and column.high is not None else "any number"
    return f"{span}{scale}{', whole' if column.integer else ''}{also}"
