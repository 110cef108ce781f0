"""What a rival is: it gets a job, and gives a set or models, with what travelled and how long it took."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from collabdm.baselines.models import Model
from collabdm.config import Config
from collabdm.data import Samples
from collabdm.data.presets import Preset
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.progress import Report, silent

__all__ = ["CurvePoint", "Rival", "RivalJob", "RivalResult"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RivalJob:
    """`parts`: indices of the samples that each client holds; `kept`: a folder of results that runs share
    (`KeptResults`), by which an interrupted run also goes on."""

    train: Samples
    parts: Mapping[str, np.ndarray]
    config: Config
    preset: Preset
    engine: Engine
    kept: Path
    report: Report = silent


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvePoint:
    """A set on the way: after so many `rounds`, and as many bytes down and up (means over clients)."""

    rounds: int
    bytes_down: float
    bytes_up: float
    product: DistilledSet


@dataclass(frozen=True, kw_only=True, eq=False)
class RivalResult:
    """A set, or models: one for each repetition of the server's stage, which are tested one by one.

    `bytes_down`, `bytes_up`: by client, exact sizes of what a transport would carry, over all `rounds`.
    `client_seconds` by client; what several rivals share counts for each. `pool`: images that were made on the way
    and are worth keeping. `curve`: sets on the way, to be judged too. `facts`: plain JSON for the metrics. `memory`:
    the most that the process held in a stage (`client`, `server`), in MB.
    """

    product: DistilledSet | tuple[Model, ...]
    bytes_down: Mapping[str, int]
    bytes_up: Mapping[str, int]
    rounds: int
    client_seconds: Mapping[str, float]
    server_seconds: float
    pool: DistilledSet | None = None
    curve: tuple[CurvePoint, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A line of `RIVALS`. Its settings, where it has any, are a field of `config.rivals`."""

    name: str
    product: Literal["set", "model"]
    run: Callable[[RivalJob], RivalResult]
