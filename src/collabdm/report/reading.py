"""What reports are made from, checked: a run's metrics, a comparison's rows, an experiment's cells.

Files may be of another version or a stranger's: keys that are not known are passed over, missing ones stay unset, and
what is there must be of the right kind.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from collabdm.errors import RunFolderError, explain, got_in, told
from collabdm.storage.reading import MOST_JSON, read_text

__all__ = [
    "Accuracy",
    "Attack",
    "Audit",
    "Begun",
    "Bytes",
    "Cell",
    "Evaluation",
    "Metrics",
    "Nearness",
    "Network",
    "Partition",
    "Point",
    "Row",
    "Spread",
    "checked",
    "read_toml",
]

Share = Annotated[float, Field(ge=0, le=1)]
# Far above what anybody counts or waits for, far below where sums overflow and dates end.
MOST = 10**15
Amount = Annotated[float, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Stages = dict[str, Amount | dict[str, Amount]]
_T = TypeVar("_T")


class _Read(BaseModel, frozen=True, extra="ignore", allow_inf_nan=False):
    """The base of what is read."""


class Spread(_Read, frozen=True):
    """Mean and standard deviation."""

    mean: Share
    std: Amount = 0.0


class Network(_Read, frozen=True):
    """One tested network; `confusion`: test samples by class (rows) and answer (columns)."""

    network: str
    index: int = 0
    accuracy: Share
    confusion: tuple[tuple[Count, ...], ...] | None = None


class Accuracy(Spread, frozen=True):
    """Over all networks, in [0, 1]."""

    macro_f1: Spread | None = None
    networks: tuple[Network, ...] = ()
    by_network: dict[str, Spread] = {}
    per_class: dict[str, Share | None] = {}


class Point(Spread, frozen=True):
    """A judgement on the way: after `steps` server steps, or `rounds`; `bytes_up` a client, as a mean."""

    steps: Amount | None = None
    rounds: Amount | None = None
    bytes_up: Amount | None = None
    networks: tuple[Network, ...] = ()


class Bytes(_Read, frozen=True):
    """Bytes down and up by client; `parts`: those up by what they are."""

    down: dict[str, Amount] = {}
    up: dict[str, Amount] = {}
    parts: dict[str, dict[str, Amount]] = {}


class Partition(_Read, frozen=True):
    """How data were shared; `samples` by client and class."""

    kind: str
    beta: float | None = None
    clients: tuple[str, ...] | int = ()
    samples: tuple[tuple[Count, ...], ...] = ()

    @property
    def label(self) -> str:
        """The kind, with its beta where that matters."""
        return (
            f"{self.kind} {self.beta:g}" if self.beta is not None and self.kind.startswith("dirichlet") else self.kind
        )


class _Result(_Read, frozen=True):
    """What runs and cells have in common."""

    accuracy: Accuracy | None = None
    curve: tuple[Point, ...] = ()
    bytes: Bytes = Bytes()
    seconds: Stages = {}
    memory: Stages = {}
    partition: Partition | None = None
    raw_bytes: dict[str, Amount] = {}
    loss: dict[str, float] | None = None
    product: str | None = None
    networks: tuple[str, ...] = ()
    rounds: int | None = None
    repeats: tuple[Share, ...] = ()
    protocol: dict[str, Any] = {}
    topped_up: dict[str, int] = {}
    skipped: int = 0
    unprotected: dict[str, int] | None = None
    missing_classes: tuple[str, ...] = ()
    untouched_classes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    refused: dict[str, str] = {}
    promise: str | None = None
    insecure_noise: tuple[str, ...] = ()
    peak_memory: Amount | None = None
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}


class Metrics(_Result, frozen=True):
    """`metrics.json`, or the `metrics` of `round.json` of a run that is not finished."""

    method: str | None = None
    dataset: str | None = None
    ipc: int | None = None
    seed: int | None = None
    losses: tuple[float, ...] = ()


class Evaluation(_Read, frozen=True):
    """One entry of `evaluations.json`: on which data the set of this SHA-256 was judged, and how right networks were.

    `exported`: as it is in its exported files, where that differs.
    """

    set: str
    dataset: str
    when: str = ""
    networks: tuple[str, ...] = ()
    protocol: dict[str, Any] = {}
    accuracy: Accuracy
    exported: Accuracy | None = None
    seconds: Amount | None = None


class Attack(_Read, frozen=True):
    """What one attack of an audit reached."""

    sees: str
    true_positives: Share
    auc: Share
    members: Count
    epsilon_at_least: Amount


class Nearness(_Read, frozen=True):
    """How often the nearest real sample is one of the training data."""

    share: Share
    p: Share


class Audit(_Read, frozen=True):
    """`audit.json`."""

    canaries: Count
    rounds: Count
    alone: bool = False
    attacks: dict[str, Attack]
    nearness: Nearness


class Begun(_Read, frozen=True):
    """`experiment.json`: what an experiment's folder was begun with."""

    experiment: str
    preset: str
    settings: tuple[str, ...] = ()


class Row(_Read, frozen=True):
    """One method of `comparison.json`."""

    method: str
    accuracy_mean: Share
    accuracy_std: Amount = 0.0
    macro_f1_mean: Share | None = None
    product: str | None = None
    protocol: str | None = None
    bytes_down: Amount = 0.0
    bytes_up: Amount = 0.0
    rounds: int | None = None
    client_seconds: Amount | None = None
    server_seconds: Amount | None = None
    seconds: Amount | None = None


class Cell(_Result, frozen=True):
    """One cell of an experiment; `paper` in percent; `anchors`: the paper's points of a curve, (MB, percent).

    `factors`: what makes the cell beside its settings. `stand_in`: the data that stood in for `dataset`. `spent`:
    seconds, where what cells share counts once.
    """

    cell: str
    experiment: str = ""
    preset: str = ""
    rank: float = 0.0
    paper: Annotated[float, Field(ge=0, le=100)] | None = None
    paper_source: str | None = None
    anchors: tuple[tuple[Amount, Annotated[float, Field(ge=0, le=100)]], ...] = ()
    dataset: str | None = None
    stand_in: str | None = None
    note: str | None = None
    digest: str | None = None
    spent: Amount | None = None
    commit: str | None = None
    config: dict[str, Any] = {}
    factors: dict[str, Any] = {}
    failed: str | None = None


def checked(kind: type[_T], value: object, where: str) -> _T:
    """`value` as `kind` (a model, or a tuple of them); raises `RunFolderError` naming `where`."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except (ValidationError, RecursionError) as error:
        got = "nested too deeply" if isinstance(error, RecursionError) else _first(error)
        raise RunFolderError(
            explain(where, got=got, expected="what CollabDM writes there", fix="run it again, or restore the file")
        ) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The TOML in a file; raises `RunFolderError`."""
    try:
        return tomllib.loads(read_text(path, MOST_JSON))
    except (OSError, ValueError, RecursionError) as error:
        got = str(error)[:200] or type(error).__name__
        raise RunFolderError(explain(f"{path}", got=got, expected="a whole file", fix="run it again")) from None


def _first(error: ValidationError) -> str:
    first: Mapping[str, Any] = error.errors()[0]
    return f"{got_in(first)[:60]} at {'.'.join(map(str, first['loc']))[:80]} ({told(first)})"
