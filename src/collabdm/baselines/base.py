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
from collabdm.errors import ConfigError, explain, unknown_name
from collabdm.images.modality import Images
from collabdm.methods import METHODS, method_named
from collabdm.modality import Modality
from collabdm.planning import sample_for
from collabdm.progress import Report, silent
from collabdm.registry import resolved_entry

__all__ = ["CurvePoint", "Rival", "RivalJob", "RivalResult", "images_for", "rival_named"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RivalJob:
    """`parts`: indices of the samples that each client holds; `kept`: a folder of results that runs share
    (`KeptResults`), by which an interrupted run also goes on; `facts`: of the data, plain JSON, for what is made from
    them (`Dataset.facts`)."""

    train: Samples
    parts: Mapping[str, np.ndarray]
    config: Config
    preset: Preset
    engine: Engine
    kept: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    report: Report = silent

    @property
    def sample(self) -> Modality:
        """What a sample is."""
        return sample_for(self.config, self.preset)

    @property
    def images(self) -> Images:
        """What a sample is, for a rival that makes pixels. Raises `ConfigError` where it is no image."""
        return images_for(self.config, self.preset)


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
    """What a line of `METHODS` names. Its settings, where it has any, are a field of `config.rivals`.

    `check`: raises `ConfigError` where it cannot run with such settings and data, before anything is computed.
    """

    name: str
    product: Literal["set", "model"]
    run: Callable[[RivalJob], RivalResult]
    check: Callable[[Config, Preset], object] = lambda config, preset: None


def images_for(config: Config, preset: Preset) -> Images:
    """What a sample is, for a rival that makes pixels. Raises `ConfigError` where it is no image."""
    sample = sample_for(config, preset)
    if isinstance(sample, Images):
        return sample
    fix = f"leave {config.method} out"
    raise ConfigError(explain(f"samples of {config.method}", got=sample.plural, expected="images", fix=fix))


def rival_named(name: str) -> Rival:
    """The rival of a method whose source is `rival`. Raises `ConfigError` for any other method."""
    method = method_named(name)
    if method.source != "rival":
        rivals = [name for name, other in METHODS.items() if other.source == "rival"]
        raise ConfigError(unknown_name("rival", name, rivals))
    return resolved_entry(method.run)
