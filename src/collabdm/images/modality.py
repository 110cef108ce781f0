"""Images as a modality: what of a plan, a contribution and a distilled set depends on samples being pictures."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from collabdm.checking import Checker
from collabdm.data.outside import check_float_pixels
from collabdm.data.presets import Preset, generic_preset
from collabdm.data.stated_range import StatedRange
from collabdm.errors import ConfigError, DataError, explain
from collabdm.images.augment import OPERATIONS
from collabdm.images.card import card_text
from collabdm.images.cutmix import cutmix
from collabdm.images.eight_bit import IMAGE_TENSORS, images_from_strip, strip_of_images
from collabdm.images.image_folder import image_of, png_of, write_images
from collabdm.images.partition_expand import check_tiles, expand, pack, permuted_tiles
from collabdm.images.pixels import Normalisation, denormalised, normalised
from collabdm.images.preview import preview_picture
from collabdm.modality import CardText, Labelled, Modality, Operation
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream

if TYPE_CHECKING:
    import datasets

__all__ = ["Images"]

# In a plan; a set of larger images can still be kept and trained on.
_MOST_SIDE = 1024

# The share of pixels at either end that a picture for people shows as black or white.
_SHOWN_TAIL = 0.01

Side = Annotated[int, Field(ge=1, le=4096)]


class Images(Modality, frozen=True, extra="forbid", allow_inf_nan=False):
    """Channels, height and width of every image, and the declared constants by which pixels are normalised."""

    kind: Literal["images"] = "images"
    channels: Literal[1, 3]
    height: Side
    width: Side
    normalisation: Normalisation

    plural: ClassVar[str] = "images"
    operations: ClassVar[Mapping[str, Operation]] = OPERATIONS
    symmetries: ClassVar[tuple[str, ...]] = ("flip",)
    usual_tiles: ClassVar[int] = 2
    network: ClassVar[str] = "convnet"
    feature_map: ClassVar[NetworkSpec] = NetworkSpec(name="mirrored-patches")

    @model_validator(mode="after")
    def _agree(self) -> "Images":
        if len(self.normalisation.mean) != self.channels:
            raise ValueError("normalisation has another number of channels than the samples")
        return self

    @classmethod
    def declared(cls, facts: Mapping[str, Any], normalisation: Any) -> "Images":
        """From `shape` (C, H, W), and `mean` and `std` per channel where none are configured."""
        if len(facts.get("shape", ())) != 3:
            fix = "set modality to what the data are, or pass the facts of images"
            raise ConfigError(explain("facts of images", got=list(facts), expected="a shape (C, H, W)", fix=fix))
        channels, height, width = facts["shape"]
        if not isinstance(normalisation, Normalisation):
            normalisation = Normalisation(mean=facts["mean"], std=facts["std"])
        return cls(channels=channels, height=height, width=width, normalisation=normalisation)

    @classmethod
    def preset_of(cls, name: str, shape: tuple[int, ...], classes: tuple[str, ...]) -> Preset:
        """Every channel is taken to have mean and standard deviation 0.5."""
        return generic_preset(name, shape, classes)

    def preset(self, name: str, classes: tuple[str, ...]) -> Preset:
        """As of images of this size of which nothing else is known, but for their normalisation."""
        own = {"mean": self.normalisation.mean, "std": self.normalisation.std}
        return replace(generic_preset(name, self.shape, classes), **own)

    @classmethod
    def shape_in(cls, text: str) -> tuple[int, ...]:
        """Channels x height x width."""
        if not re.fullmatch(r"[13]x[1-9]\d{0,3}x[1-9]\d{0,3}", text, re.ASCII):
            expected = "channels (1 or 3) x height x width"
            raise ConfigError(explain("--shape", got=text, expected=expected, fix="for example 3x32x32"))
        return tuple(map(int, text.split("x")))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    @property
    def described(self) -> str:
        """Height, width and colour."""
        return f"{self.height}x{self.width}, {'grey' if self.channels == 1 else 'RGB'}"

    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> Tensor:
        """Pixels, uint8 or float32 in [0, 1] [n, C, H, W], normalised."""
        return normalised(values, self.normalisation, device=device, dtype=dtype)

    def views(self, samples: Tensor, augment: Sequence[str]) -> tuple[Tensor, ...]:
        """Also mirrored, where the augmentation mirrors."""
        return (samples, samples.flip(3)) if "flip" in augment else (samples,)

    @classmethod
    def settled_map(cls, features: NetworkSpec, augment: Sequence[str]) -> NetworkSpec:
        """`mirrored-patches` are `patches` where the augmentation does not mirror: of a digit's mirror image they would
        say what they say of the digit."""
        if features.name == "mirrored-patches" and "flip" not in augment:
            return features.model_copy(update={"name": "patches"})
        return features

    def check_plan(self) -> None:
        """Sides of at most 1024 pixels."""
        for name, side in (("height", self.height), ("width", self.width)):
            if side > _MOST_SIDE:
                raise ValueError(f"sample.{name} must be at most {_MOST_SIDE}, got {side}")

    def check(self, shape: tuple[int, ...]) -> None:
        """Say whether it is the size or the number of channels that differs."""
        if shape != self.shape:
            fix = "resize the images, or ask for a plan for this size"
            if shape[1:] == self.shape[1:]:
                fix = "store them with as many channels (1: grey, 3: colour), or ask for a plan for these"
            raise DataError(explain("image shape", got=shape, expected=str(self.shape), fix=fix))

    def check_values(self, values: np.ndarray, *, any_range: bool = False) -> None:
        """Floats must be within [0, 1], unless another range is stated."""
        if any_range:
            super().check_values(values)
        elif values.dtype.kind == "f":
            check_float_pixels(values, f"the {self.plural}")

    def mix(self, samples: Tensor, partners: Tensor, uniforms: np.ndarray) -> tuple[Tensor, Tensor]:
        """A rectangle of each image is its partner's (CutMix)."""
        return cutmix(samples, partners, uniforms)

    def check_tiles(self, tiles: int) -> None:
        """At most a quarter of the shorter side."""
        check_tiles(tiles, self.height, self.width)

    def expand(self, samples: Tensor, tiles: int) -> Tensor:
        """Cut every image into `tiles` x `tiles` parts and enlarge each."""
        return expand(samples, tiles)

    def pack(self, samples: Tensor, tiles: int) -> Tensor:
        """Shrink `tiles`**2 images into one."""
        return pack(samples, tiles)

    def made_of(self, stream: Stream, union: Tensor, count: int, tiles: int) -> Tensor:
        """With tiles, each image takes its tiles from random tiles of the class; else it mixes two images."""
        if tiles > 1:
            return permuted_tiles(stream, union, count, tiles)
        return super().made_of(stream, union, count, tiles)

    def centre(self, received: Tensor) -> Tensor:
        """The mean of each channel."""
        return received.mean(dim=(0, 2, 3), keepdim=True)

    @property
    def compact(self) -> frozenset[str]:
        """The strip, its range, and the share of what that clips."""
        return frozenset(IMAGE_TENSORS)

    def to_compact(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """One PNG strip of all images, with the range of each channel."""
        return strip_of_images(samples)

    def from_compact(self, tensors: Mapping[str, np.ndarray], count: int, check: Checker) -> np.ndarray:
        """What `to_compact` gave."""
        return images_from_strip(tensors, (count, *self.shape), check)

    def pixels(self, samples: Tensor) -> Tensor:
        """Normalised images as pixels, float32 [n, C, H, W]: about [0, 1], not clipped."""
        return denormalised(samples, self.normalisation)

    def range_of(self, samples: Tensor) -> StatedRange:
        """The range of pixels that 8 bits hold of these images."""
        return StatedRange.of(self.pixels(samples.double()).numpy())

    def levels(self, samples: Tensor) -> np.ndarray:
        """8-bit levels in the images' own range, uint8 [n, C, H, W]; ordinary pixels where they are within [0, 1]."""
        return self._eight_bits(samples)[0]

    def pictures(self, samples: Tensor) -> np.ndarray:
        """As people see them best, uint8 [n, C, H, W]: the extremes, which are a few pixels, are black and white, and
        images within [0, 1] are not changed."""
        pixels = self.pixels(samples.double()).numpy()
        return StatedRange.of(pixels, tail=_SHOWN_TAIL).levels(pixels)

    def preview(self, shown: Labelled) -> bytes:
        """A row of images for each class."""
        return preview_picture(self.pictures(shown.samples), shown.labels.numpy(), shown.classes)

    def write_folder(self, path: Path, shown: Labelled) -> bool:
        """`path/<class>/<index>.png`, as `load_dataset("imagefolder", data_dir=path)` reads it."""
        levels, stated = self._eight_bits(shown.samples)
        write_images(path, levels, shown.labels.numpy(), shown.classes, stated)
        return True

    def to_huggingface(self, shown: Labelled) -> "datasets.Dataset":
        """Columns `image` (PNG files that state their range) and `label` (with the class names)."""
        import datasets  # here, since it takes a second to import and only this needs it

        label = datasets.ClassLabel(names=list(shown.classes))
        features = datasets.Features({"image": datasets.Image(), "label": label})
        levels, stated = self._eight_bits(shown.samples)
        # As bytes: given pictures, the library would write them itself, without what they state.
        images = [{"bytes": png_of(image_of(one), stated), "path": None} for one in levels]
        return datasets.Dataset.from_dict({"image": images, "label": shown.labels.tolist()}, features=features)

    def to_arrays(self, samples: Tensor) -> dict[str, np.ndarray]:
        """`x`, uint8 levels [n, H, W] where they are grey, else [n, H, W, C]; `range` [2, C], where it is no usual one:
        the pixels that the levels 0 and 255 stand for."""
        levels, stated = self._eight_bits(samples)
        x = levels[:, 0] if self.channels == 1 else np.ascontiguousarray(levels.transpose(0, 2, 3, 1))
        return {"x": x} if stated.ordinary else {"x": x, "range": np.array([stated.low, stated.high])}

    def to_float_arrays(self, samples: Tensor) -> dict[str, np.ndarray]:
        """`x`, float32 pixels [n, H, W] or [n, H, W, C], about [0, 1], and their `range`, which says so: of a set that
        goes far beyond black and white nobody could tell."""
        pixels = self.stored_values(samples)
        x = pixels[:, 0] if self.channels == 1 else np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        return {"x": x, "range": np.array([[0.0] * self.channels, [1.0] * self.channels])}

    def stored_values(self, samples: Tensor) -> np.ndarray:
        """Pixels, float32 [n, C, H, W], about [0, 1]."""
        return self.pixels(samples.double()).float().numpy()

    def bounded(self, samples: Tensor) -> Tensor:
        """Between black and white."""
        ends = np.array([0.0, 1.0], np.float32).reshape(2, 1, 1, 1) * np.ones((2, *self.shape), np.float32)
        black, white = self.tensors(ends, device=str(samples.device), dtype=samples.dtype)
        return samples.clamp(black, white)

    def exported(self, samples: Tensor) -> Tensor:
        """The images as a reader of the 8-bit files gets them."""
        levels, stated = self._eight_bits(samples)
        return self.tensors(stated.pixels(levels, "exported images"), device="cpu", dtype=samples.dtype)

    def card(self, shown: Labelled, tiles: int) -> CardText:
        """Which folder holds which class, what the PNG files are, and how tiles expand."""
        constants = {"mean": list(self.normalisation.mean), "std": list(self.normalisation.std)}
        stated = self.range_of(self.expand(shown.samples, tiles))
        return card_text(shown.classes, shown.counts, self.described, tiles, constants, stated)

    def _eight_bits(self, samples: Tensor) -> tuple[np.ndarray, StatedRange]:
        """The levels, uint8 [n, C, H, W], and the range that they have."""
        pixels = self.pixels(samples.double()).numpy()
        stated = StatedRange.of(pixels)
        return stated.levels(pixels), stated
