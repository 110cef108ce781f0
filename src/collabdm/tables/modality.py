"""Tables as a modality: what of a plan, a contribution and a distilled set depends on samples being rows."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from collabdm.data.outside import check_finite_rows
from collabdm.data.presets import Preset
from collabdm.data.tabular.column import MOST_COLUMNS, Column, Text
from collabdm.data.tabular.schema import check_columns
from collabdm.errors import ConfigError, DataError, explain
from collabdm.modality import CardText, Labelled, Modality, Operation
from collabdm.networks import NetworkSpec
from collabdm.tables.augment import OPERATIONS
from collabdm.tables.card import card_text
from collabdm.tables.files import arrow_table, table_bytes, write_rows
from collabdm.tables.histograms import histogram_picture
from collabdm.tables.layout import Layout

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

__all__ = ["Tables"]

_MOST_WIDTH = 2**16


class Tables(Modality, frozen=True, extra="forbid", allow_inf_nan=False):
    """The declared columns of a row, in their order, and what the column of labels is called.

    A stored row is float32 [columns]: of a numeric column the number, of a categorical one the place of the level among
    its levels (-1: an unknown one), NaN where the value is missing.
    """

    kind: Literal["tables"] = "tables"
    label: Text = "label"
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=MOST_COLUMNS)]

    plural: ClassVar[str] = "rows"
    operations: ClassVar[Mapping[str, Operation]] = OPERATIONS
    network: ClassVar[str] = "random-features"
    judge: ClassVar[str] = "mlp"
    feature_map: ClassVar[NetworkSpec] = NetworkSpec(name="random-features", width=1024)
    local: ClassVar[str] = "kmeans"
    rate: ClassVar[float] = 0.1
    judged_as_exported: ClassVar[bool] = True

    @model_validator(mode="after")
    def _agree(self) -> "Tables":
        check_columns(self.columns, self.label)
        return self

    @classmethod
    def preset_of(cls, name: str, shape: tuple[int, ...], classes: tuple[str, ...]) -> Preset:
        """Nothing can be said of columns of which only the number is known: raises `ConfigError`."""
        fix = "pass --schema FILE, as `collabdm schema` proposes one (in Python: the preset of a loaded table)"
        got = f"a shape {'x'.join(map(str, shape))} alone"
        raise ConfigError(explain("declared columns of a table", got=got, expected="a schema", fix=fix))

    @property
    def shape(self) -> tuple[int, ...]:
        """(width,): the numbers that networks see of a row."""
        return (self._layout.width,)

    @property
    def small(self) -> bool:
        """A row is a few dozen bytes."""
        return True

    @property
    def described(self) -> str:
        """How many columns of which kind."""
        levels = sum(column.kind == "categorical" for column in self.columns)
        return (
            f"{len(self.columns)} columns, {levels} of them categorical" if levels else f"{len(self.columns)} columns"
        )

    @cached_property
    def _layout(self) -> Layout:
        return Layout.of(self.columns)

    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> Tensor:
        """Numbers from -1 to 1 over the declared range, levels one-hot, and what is missing (`Layout`)."""
        return torch.from_numpy(self._layout.encoded(values).astype(np.float32)).to(device, dtype)

    def stored(self, samples: Tensor) -> np.ndarray:
        """Rows [n, width] as stored values that a reader would give, float64 [n, columns]: rounded (`Layout`)."""
        return self._layout.decoded(samples.double().numpy())

    def stored_values(self, samples: Tensor) -> np.ndarray:
        """As `stored`, in float32."""
        return self.stored(samples).astype(np.float32)

    def check_plan(self) -> None:
        """Raise `ValueError` where one-hot levels would make a row too long."""
        if self._layout.width > _MOST_WIDTH:
            raise ValueError(f"columns and levels must be at most {_MOST_WIDTH} together, got {self._layout.width}")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `DataError` where stored rows have another number of columns."""
        if shape != (len(self.columns),):
            fix = "read the rows by the plan's columns (load_table(..., schema=plan.sample)), or ask for another plan"
            expected = f"({len(self.columns)},), the columns {', '.join(column.name for column in self.columns)[:120]}"
            raise DataError(explain("shape of the rows", got=shape, expected=expected, fix=fix))

    def check_values(self, values: np.ndarray, *, any_range: bool = False) -> None:
        """Numbers are finite or missing, levels are places among the declared ones."""
        fix = "read the rows with a reader of tables, or repair them"
        check_finite_rows(
            np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf),
            "values of the rows",
            expected="finite numbers, or NaN where missing",
            fix=fix,
        )
        for place, column in enumerate(self.columns):
            if column.kind == "categorical":
                own = values[:, place]
                wrong = ~np.isnan(own) & ((own != np.floor(own)) | (own < -1) | (own >= len(column.levels)))
                if wrong.any():
                    row = int(np.argmax(wrong))
                    expected = f"the place of one of its {len(column.levels)} levels, -1 or NaN"
                    what = f"column {column.name}, row {row}"
                    raise DataError(explain(what, got=own[row], expected=expected, fix=fix))

    def exported(self, samples: Tensor) -> Tensor:
        """The rows as a reader of the files gets them: within range, whole numbers and single levels."""
        return self.tensors(self.stored(samples).astype(np.float32), device="cpu", dtype=samples.dtype)

    def preview(self, shown: Labelled) -> bytes:
        """Histograms of all columns over their declared ranges."""
        return histogram_picture(self.columns, self.stored(shown.samples), shown.labels.numpy(), shown.classes)

    def table(self, shown: Labelled) -> "pa.Table":
        """The rows as they are exported, under the names of columns, levels and classes."""
        return arrow_table(self.columns, self.label, self.stored(shown.samples), shown.labels.numpy(), shown.classes)

    def write_folder(self, path: Path, shown: Labelled) -> bool:
        """`rows.csv`, `rows.parquet` and `schema.json`."""
        write_rows(path, self.table(shown), self.columns, self.label)
        return True

    def to_file(self, format: str, shown: Labelled) -> bytes:
        """The rows as CSV or parquet."""
        return table_bytes(self.table(shown), format)

    def to_huggingface(self, shown: Labelled) -> "datasets.Dataset":
        """A column for each of the table's, and the label with the class names."""
        import datasets  # here, since it takes a second to import and only this needs it

        label = datasets.ClassLabel(names=list(shown.classes))
        return datasets.Dataset(self.table(shown)).cast_column(self.label, label)

    def to_arrays(self, samples: Tensor) -> dict[str, np.ndarray]:
        """`x`, float32 [n, columns] as stored (the place of a level, NaN for missing), and the names of `columns`."""
        names = np.array([column.name for column in self.columns])
        return {"x": self.stored(samples).astype(np.float32), "columns": names}

    def card(self, shown: Labelled, tiles: int) -> CardText:
        """Which columns there are, and which file holds the rows."""
        return card_text(self.columns, self.label, shown, super().card(shown, tiles))
