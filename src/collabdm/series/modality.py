"""Time series as a modality: what of a plan, a contribution and a distilled set depends on samples being such."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from collabdm.data.presets import Preset
from collabdm.data.series.stored import declared_series
from collabdm.engine.placing import uploaded
from collabdm.errors import ConfigError, DataError, DataWarning, explain
from collabdm.images.pixels import Normalisation
from collabdm.modality import CardText, Labelled, Modality, Operation
from collabdm.networks import NetworkSpec
from collabdm.series.augment import OPERATIONS, window_mix
from collabdm.series.card import card_text
from collabdm.series.files import parquet_bytes, write_series
from collabdm.series.fitting import Fit, found_in, own_lengths, prepared
from collabdm.series.plots import preview_picture, small_pictures

__all__ = ["Series"]

# In a plan: what a site must be able to hold, many times over.
_MOST_VALUES = 2**20

# The mean of an embedding has 128 x 2 to 128 x 32 values, and every seed has one.
_SMALL = 2**13

Number = Annotated[float, Field(ge=-1e9, le=1e9)]
Spread = Annotated[float, Field(ge=1e-9, le=1e9)]


class Series(Modality, frozen=True, extra="forbid", allow_inf_nan=False):
    """Channels and steps of every series, and how a site brings its own to that.

    `standardise`: by mean and spread of each sample over all its channels (`sample`), of each of its channels by itself
    (`channel`), or by the declared numbers `offset` and `scale`, one per channel (`declared`). `fit`: a shorter series
    goes on with its last value (`hold`) or its mean (`zero`) and a longer one is cut, or both are stretched to the
    length (`resample`). `front_end` `log-mel`: channels are the bands of sounds, as `collabdm.data.series.sounds` makes
    them.
    """

    kind: Literal["series"] = "series"
    channels: Annotated[int, Field(ge=1, le=1024)]
    length: Annotated[int, Field(ge=1, le=2**16)]
    standardise: Literal["sample", "channel", "declared"] = "sample"
    offset: tuple[Number, ...] = ()
    scale: tuple[Spread, ...] = ()
    fit: Literal["hold", "zero", "resample"] = "hold"
    front_end: Literal["none", "log-mel"] = "none"

    plural: ClassVar[str] = "series"
    operations: ClassVar[Mapping[str, Operation]] = OPERATIONS
    network: ClassVar[str] = "convnet1d"
    feature_map: ClassVar[NetworkSpec] = NetworkSpec(name="rocket")
    local: ClassVar[str] = "kmeans"
    rate: ClassVar[float] = 1.0

    @model_validator(mode="after")
    def _agree(self) -> "Series":
        wanted = self.channels if self.standardise == "declared" else 0
        for name, given in (("offset", self.offset), ("scale", self.scale)):
            if len(given) != wanted:
                need = f"a number for each of {wanted} channels" if wanted else "none unless standardise is declared"
                raise ValueError(f"{name} must have {need}, got {len(given)}")
        return self

    @classmethod
    def declared(cls, facts: Mapping[str, Any], normalisation: Any) -> "Series":
        """From a data set's facts; a configured mean and std per channel are the declared offset and scale."""
        if not {"channels", "length"} <= set(facts):
            fix = "set modality to what the data are, or pass the facts of series"
            raise ConfigError(explain("facts of series", got=list(facts), expected="channels and length", fix=fix))
        asked: dict[str, Any] = dict(facts)
        if isinstance(normalisation, Normalisation):
            asked |= {"standardise": "declared", "offset": normalisation.mean, "scale": normalisation.std}
        return cls.model_validate(asked)

    @classmethod
    def preset_of(cls, name: str, shape: tuple[int, ...], classes: tuple[str, ...]) -> Preset:
        """Channels x steps, or steps alone; each series is standardised by itself."""
        if len(shape) not in (1, 2):
            fix = "for example 3x100 for three channels of a hundred steps"
            raise ConfigError(explain("shape of series", got=list(shape), expected="channels x steps", fix=fix))
        channels, length = shape if len(shape) == 2 else (1, shape[0])
        return declared_series(name, classes, channels=channels, length=length)

    @property
    def shape(self) -> tuple[int, int]:
        """(C, L)."""
        return self.channels, self.length

    @property
    def small(self) -> bool:
        """Up to 8,192 values, as a few of them are beside the means of a hundred seeds."""
        return self.channels * self.length <= _SMALL

    @property
    def described(self) -> str:
        """Channels and steps."""
        channels = "1 channel" if self.channels == 1 else f"{self.channels} channels"
        return f"{channels} x {self.length} steps"

    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> Tensor:
        """Series [n, C, T] of any length, or [n, T] of one channel, NaN after their ends and in gaps."""
        offset, scale = (np.array(part, dtype=np.float64) for part in (self.offset, self.scale))
        fit = Fit(length=self.length, how=self.fit, standardise=self.standardise, offset=offset, scale=scale)
        ready = np.clip(prepared(_with_channels(values), fit), -self.largest, self.largest)
        return uploaded(torch.from_numpy(ready), torch.device(device), dtype)

    def check_plan(self) -> None:
        """At most 2^20 values in a series."""
        if self.channels * self.length > _MOST_VALUES:
            got = f"{self.channels} channels of {self.length} steps"
            raise ValueError(f"sample must have at most {_MOST_VALUES} values, got {got}")

    def check(self, shape: tuple[int, ...]) -> None:
        """The number of channels must agree; every length has its way to the plan's."""
        channels = shape[0] if len(shape) == 2 else 1 if len(shape) == 1 else 0
        if channels == self.channels:
            return
        expected = f"{self.channels} channels [C, L]"
        fix = "bring the series to these channels, or ask for a plan for yours"
        if self.front_end == "log-mel":
            expected += ", the bands of sounds"
            fix = "give a folder of .wav files, of which the bands are made, or ask for a plan for these series"
        elif len(shape) == 2 and shape[1] == self.channels:
            fix = "put the channels before the steps: x.transpose(0, 2, 1)"
        raise DataError(explain("shape of the series", got=list(shape), expected=expected, fix=fix))

    def check_values(self, values: np.ndarray, *, any_range: bool = False) -> None:
        """Refuse infinity and series without any value; tell in a `DataWarning` what of them is changed to fit."""
        if values.dtype.kind != "f":
            return
        values = _with_channels(values)
        infinite = np.isinf(values).any(axis=(1, 2))
        if infinite.any():
            got, fix = "infinity, or a number too large for 32 bits", "repair or drop the series (a gap is NaN)"
            what = f"values of the series, row {int(np.argmax(infinite))}"
            raise DataError(explain(what, got=got, expected="finite numbers, or NaN for a gap", fix=fix))
        empty = own_lengths(values) == 0
        if empty.any():
            row = int(np.argmax(empty))
            got, fix = "nothing but NaN", "drop the series"
            raise DataError(explain(f"values of the series, row {row}", got=got, expected="a value", fix=fix))
        if told := self._changed(values):
            warnings.warn(DataWarning(f"of {len(values)} series {told}"), stacklevel=2)

    def _changed(self, values: np.ndarray) -> str:
        found = found_in(values, self.length)
        after = {"hold": "held at their last value", "zero": "filled with their mean", "resample": "stretched to it"}
        parts = {
            f"are shorter than {self.length} steps ({after[self.fit]})": found.shorter,
            f"are longer ({'shortened to it' if self.fit == 'resample' else 'cut'})": found.longer,
            "have gaps (filled along straight lines)": found.gaps,
        }
        told = [f"{count} {what}" for what, count in parts.items() if count]
        if found.empty_channels:
            told.append(f"{found.empty_channels} channels have no value (taken as 0)")
        if self.standardise == "declared":
            offset, scale = (np.array(part)[:, None] for part in (self.offset, self.scale))
            far = int((np.abs(values - offset) > self.largest * scale).sum())
            told += [f"{far} values are over {self.largest:g} scales from the offset (clipped)"] if far else []
        return "; ".join(told)

    def mix(self, samples: Tensor, partners: Tensor, uniforms: np.ndarray) -> tuple[Tensor, Tensor]:
        """A window of each series is its partner's."""
        return window_mix(samples, partners, uniforms)

    def pictures(self, samples: Tensor) -> np.ndarray:
        """Lines, or a heat map where there are many channels: uint8 [n, 3, 64, 64]."""
        return small_pictures(samples.float().numpy())

    def preview(self, shown: Labelled) -> bytes:
        """A plot per class."""
        return preview_picture(shown.samples.float().numpy(), shown.labels.numpy(), shown.classes)

    def write_folder(self, path: Path, shown: Labelled) -> bool:
        """`train.parquet` (`series`, lists of lists, and `label`, the class's name) and `train.ts`."""
        write_series(path, shown.samples.float().numpy(), shown.labels.numpy(), shown.classes)
        return True

    def to_file(self, format: str, shown: Labelled) -> bytes | None:
        """The series as parquet."""
        if format != "parquet":
            return None
        return parquet_bytes(shown.samples.float().numpy(), shown.labels.numpy(), shown.classes)

    def card(self, shown: Labelled, tiles: int) -> CardText:
        """What the numbers are, and how real series are brought to them."""
        return card_text(self.described, self.model_dump(mode="json"), shown.classes, shown.counts)


def _with_channels(values: np.ndarray) -> np.ndarray:
    return values[:, None] if values.ndim == 2 else values
