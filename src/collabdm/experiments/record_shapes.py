"""What readers of an experiment's folder rely on in its JSON files; there may be more."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from collabdm.errors import RunFolderError, explain, got_in, told

__all__ = ["MOST_SECONDS", "CellRecord", "Facts", "FinishedRecord", "check_shape"]

MOST_SECONDS = 1e12


def check_shape(kind: type[BaseModel], tree: Any, path: Path, *, expected: str, fix: str) -> None:
    """Raise `RunFolderError` where the `tree` in the file `path` is not of a kind."""
    try:
        kind.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:80]
        got = f"{where}: {got_in(first)}, where {told(first)} should be" if where else "another file"
        raise RunFolderError(explain(f"{path}", got=got, expected=expected, fix=fix)) from None


class _Shape(BaseModel, allow_inf_nan=False):
    """The base of what is read."""


class Facts(_Shape):
    """`experiment.json`."""

    experiment: str
    preset: str
    settings: list[str]
    stand_ins: dict[str, str]


class _Partition(_Shape):
    kind: str
    beta: float | None = None


class _Settings(_Shape):
    method: str
    ipc: int
    partition: _Partition
    plan: dict[str, Any]


class CellRecord(_Shape):
    """Of any cell."""

    cell: str
    digest: str
    spent: Annotated[float, Field(ge=0, le=MOST_SECONDS)]
    rank: int
    dataset: str
    paper: float | None
    note: str
    config: _Settings
    failed: str = ""


class _Network(_Shape):
    network: str
    accuracy: float
    macro_f1: float


class _Mean(_Shape):
    mean: float


class _Accuracy(_Shape):
    mean: float
    std: float
    macro_f1: _Mean
    networks: list[_Network]


class _Bytes(_Shape):
    up: dict[str, float]
    down: dict[str, float] = {}


class _Point(_Shape):
    mean: float
    std: float = 0.0
    networks: list[_Network] = []
    rounds: float = 0
    bytes_down: float = 0
    bytes_up: float = 0


class FinishedRecord(CellRecord):
    """What tables show of a cell."""

    accuracy: _Accuracy
    bytes: _Bytes
    protocol: dict[str, Any] = {}
    curve: list[_Point] = []
    rounds: int = 0
