"""What one sample is, and all that depends on it: images are one modality, tables or series would be others.

An instance is the part of a plan that describes its samples. Statistics, matching, training, the protocol and every
transport handle tensors [n, *shape] and the methods below; they know nothing of pixels, columns or channels. A new
modality is one file with a subclass of `Modality`, and one line in `MODALITIES` (`collabdm.modalities`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from collabdm.checking import Checker, rounded
from collabdm.data.outside import check_finite_rows
from collabdm.data.presets import Preset
from collabdm.errors import ConfigError, DataError, explain, markdown_text
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream

if TYPE_CHECKING:
    import datasets

__all__ = ["Augmentation", "CardText", "Labelled", "Modality", "Operation", "draw_augmentation"]

Operation = Callable[[Tensor, np.ndarray], Tensor]
"""From samples [n, *shape] and uniform numbers in [0, 1), float64 [1 or n, 3], to samples; differentiable in them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Augmentation:
    """One drawn operation: its name in `Modality.operations`, and uniform numbers in [0, 1), float64 [1 or n, 3]."""

    operation: str
    uniforms: np.ndarray

    def of(self, rows: np.ndarray) -> "Augmentation":
        """The same operation for the samples at `rows`, where there are numbers per sample."""
        if len(self.uniforms) == 1:
            return self
        return Augmentation(operation=self.operation, uniforms=self.uniforms[rows])


def draw_augmentation(stream: Stream, operations: Sequence[str], count: int = 1) -> Augmentation | None:
    """Draw one of `operations` and its numbers: one row shared by all samples, or `count` rows, one per sample.

    None where no operations are given.
    """
    if not operations:
        return None
    operation = operations[int(stream.integers(len(operations)))]
    return Augmentation(operation=operation, uniforms=stream.uniform((count, 3)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """Samples of a set as they are shown: float32 [n, *shape], labels int64 [n], and the names of all classes."""

    samples: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    @property
    def counts(self) -> list[int]:
        """How many samples each class has."""
        return torch.bincount(self.labels, minlength=len(self.classes)).tolist()


@dataclass(frozen=True, kw_only=True)
class CardText:
    """What a modality says in a distilled set's card: Markdown, but for `task`, the hub's name of the task (empty where
    it has none), and `data_files`, the YAML of the files that the hub's library reads, where `{digest}` stands for the
    set's digest."""

    task: str
    summary: str
    classes: str
    loading: str
    expansion: str
    preview: str = ""
    data_files: str = ""
    facts: Mapping[str, Any] | None = None


class Modality(BaseModel, ABC, frozen=True, extra="forbid", allow_inf_nan=False):
    """The description of a plan's samples; `kind` is its name in `MODALITIES`.

    `shape` of one sample as the networks see it, `tensors` and `network` must be given by a subclass; all else has a
    default that fits any samples.
    """

    kind: str

    plural: ClassVar[str] = "samples"
    """What the samples are called in messages, and the name of their tensor in contributions and distilled sets."""
    operations: ClassVar[Mapping[str, Operation]] = {}
    """Operations of the augmentation, by name."""
    symmetries: ClassVar[tuple[str, ...]] = ()
    """Those of them that draw nothing but whether they are done: under these a sample has `views`."""
    usual_tiles: ClassVar[int] = 1
    """The tiles a side (l) that a method with partition and expand takes where none are set."""
    network: ClassVar[str]
    """The name in `NETWORKS` of the encoder that is taken where none is set."""
    judge: ClassVar[str | None] = None
    """The name in `NETWORKS` of the classifier that judges a set where none is set; None: the encoder."""
    feature_map: ClassVar[NetworkSpec | None] = None
    """The network that is the feature map of the statistic `gram` where none is set; None where it must be."""
    local: ClassVar[str] = "dm"
    """The name in `LOCAL_METHODS` of what sites do in a round that is refined, where nothing of `local` is set."""
    rate: ClassVar[float | None] = None
    """The server's learning rate where `server.lr` is not set; None: that of all settings."""
    judged_as_exported: ClassVar[bool] = False
    """Whether a set is judged, and trained on, as `exported` gives it: where what is stored is no sample that there
    could be (half of one level, half of another)."""
    largest: ClassVar[float] = 100.0
    """The largest absolute value that a contribution's local set may hold. Refinement starts at these values, so
    whoever sent larger ones would spoil the server's steps for all."""

    @property
    def small(self) -> bool:
        """Whether a sample is small beside the means that travel with it. Then every site of a round that is refined
        sends as many samples of a class as the set will have, and the server starts from the centres of all of them."""
        return False

    @classmethod
    def declared(cls, facts: Mapping[str, Any], normalisation: Any) -> "Modality":
        """The description that a data set's declared `facts` (`Preset.sample`) and a configured normalisation give.

        `normalisation` is `auto` where nothing is configured. Raises `ConfigError`.
        """
        if normalisation != "auto":
            kind = cls.model_fields["kind"].default
            fix = "leave plan.normalisation out"
            raise ConfigError(explain("plan.normalisation", got=f"one for {kind}", expected="auto", fix=fix))
        return cls.model_validate(dict(facts))

    @classmethod
    def preset_of(cls, name: str, shape: tuple[int, ...], classes: tuple[str, ...]) -> Preset:
        """The declared facts of data of which nothing else is known. Raises `ConfigError` where that is too little."""
        fix = "give a data set to read the facts from"
        raise ConfigError(explain("declared data", got=f"a shape {list(shape)} alone", expected="its facts", fix=fix))

    def preset(self, name: str, classes: tuple[str, ...]) -> Preset:
        """Declared facts that give this description again."""
        return Preset(name=name, shape=self.shape, classes=classes, declared=self.model_dump())

    @classmethod
    def shape_in(cls, text: str) -> tuple[int, ...]:
        """The shape that `--shape` writes as numbers with x between them. Raises `ConfigError`."""
        parts = text.split("x")
        if not all(part.isascii() and part.isdigit() and 0 < int(part) < 10**6 for part in parts):
            raise ConfigError(explain("--shape", got=text, expected="numbers with x between them", fix="correct it"))
        return tuple(map(int, parts))

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample as networks see it."""

    @property
    def described(self) -> str:
        """The size of a sample, for people."""
        return "x".join(map(str, self.shape))

    @abstractmethod
    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> Tensor:
        """Stored values [n, ...] as networks see them, [n, *shape], on `device`."""

    def views(self, samples: Tensor, augment: Sequence[str]) -> tuple[Tensor, ...]:
        """Samples [n, *shape] as they are, and as they might as well be by those operations of `augment` that are
        `symmetries`: what the sums of fixed features average for every sample, and recipes with `views` the logits."""
        return (samples,)

    def viewed(self, augment: Sequence[str]) -> tuple[str, ...]:
        """The operations of `augment` under which `views` has more than the samples as they are."""
        return tuple(name for name in self.symmetries if name in augment)

    @classmethod
    def settled_map(cls, features: NetworkSpec, augment: Sequence[str]) -> NetworkSpec:
        """The fixed feature map that `features` mean in a plan with the operations `augment`."""
        return features

    def check_plan(self) -> None:
        """Raise `ValueError` where no plan may have such samples."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `DataError` where one stored sample of this `shape` is not what the plan describes."""
        if shape != self.shape:
            fix = f"bring the {self.plural} to that size, or ask for a plan for these"
            raise DataError(explain(f"shape of the {self.plural}", got=shape, expected=str(self.shape), fix=fix))

    def check_values(self, values: np.ndarray, *, any_range: bool = False) -> None:
        """Raise `DataError` where stored values [n, ...] are none that samples may have; floats must be finite.

        `any_range`: their file says which range they have, so that it need not be the usual one (`Samples`).
        """
        if values.dtype.kind == "f":
            fix = "repair or drop the sample"
            check_finite_rows(values, f"values of the {self.plural}", expected="finite numbers", fix=fix)

    def augment(self, samples: Tensor, augmentation: Augmentation | None) -> Tensor:
        """Apply to samples [n, *shape]; differentiable in them; None returns them as they are."""
        if augmentation is None:
            return samples
        return self.operations[augmentation.operation](samples, augmentation.uniforms)

    def mix(self, samples: Tensor, partners: Tensor, uniforms: np.ndarray) -> tuple[Tensor, Tensor]:
        """Samples [n, *shape] with something of their partners, [n, *shape], in them, and the share of each that is its
        own, [n] in [0, 1]: that of its label too. `uniforms`: numbers in [0, 1), float64 [n, 3].

        Here a weighted mean of the two, with uniform weights (mixup: Zhang et al., ICLR 2018).
        """
        share = torch.from_numpy(uniforms[:, 0]).to(samples)
        weight = share.view(-1, *[1] * len(self.shape))
        return weight * samples + (1 - weight) * partners, share

    def check_tiles(self, tiles: int) -> None:
        """Raise `ConfigError` where a stored sample cannot act as `tiles`**2 (paper, section 4.3)."""
        if tiles != 1:
            fix = "set plan.tiles to 1, or choose the method without -pae"
            raise ConfigError(explain(f"tiles of {self.plural}", got=tiles, expected="1", fix=fix))

    def expand(self, samples: Tensor, tiles: int) -> Tensor:
        """Stored samples [n, *shape] as they are trained on, [n * tiles**2, *shape]; differentiable."""
        self.check_tiles(tiles)
        return samples

    def pack(self, samples: Tensor, tiles: int) -> Tensor:
        """Samples [n * tiles**2, *shape] as the stored ones that expand to them, [n, *shape]."""
        self.check_tiles(tiles)
        return samples

    def made_of(self, stream: Stream, union: Tensor, count: int, tiles: int) -> Tensor:
        """`count` further samples made of the received ones of a class, `union` [m, *shape] with m at least 1.

        Each is a random mix of two of them.
        """
        first, second = (torch.from_numpy(stream.integers(len(union), count)) for _ in range(2))
        share = torch.from_numpy(stream.uniform((count, *[1] * len(self.shape)), 0.25, 0.75)).float()
        return share * union[first] + (1 - share) * union[second]

    def centre(self, received: Tensor) -> Tensor:
        """The mean of received samples [m, *shape] about which samples are drawn of which none came: [1, *shape]."""
        return received.mean(dim=0, keepdim=True)

    @property
    def compact(self) -> frozenset[str]:
        """Names of the tensors that `to_compact` gives; each begins with `plural`."""
        return frozenset({self.plural})

    def to_compact(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """Float samples [n, *shape] as the tensors of the encoding int8, named as `compact` says: here as fp16."""
        return {self.plural: rounded(samples, np.dtype(np.float16))}

    def from_compact(self, tensors: Mapping[str, np.ndarray], count: int, check: Checker) -> np.ndarray:
        """The float32 samples [count, *shape] in a stranger's tensors; `check` refuses what cannot be."""
        return check.floats(tensors[self.plural], self.plural, (count, *self.shape), np.dtype(np.float16))

    def pictures(self, samples: Tensor) -> np.ndarray | None:
        """Samples [n, *shape] as small pictures, uint8 [n, 1 or 3, H, W]; None where the modality has none."""
        return None

    def preview(self, shown: Labelled) -> bytes | None:
        """A PNG of a few samples of every class; None where the modality draws none."""
        return None

    def write_folder(self, path: Any, shown: Labelled) -> bool:
        """Write the samples as files that other programs read; False (and nothing written) where there are none."""
        return False

    def to_huggingface(self, shown: Labelled) -> "datasets.Dataset":
        """The samples as a Hugging Face dataset: columns `values` (nested lists) and `label`."""
        import datasets  # here, since it takes a second to import and only this needs it

        columns = {"values": shown.samples.tolist(), "label": shown.labels.tolist()}
        label = datasets.ClassLabel(names=list(shown.classes))
        return datasets.Dataset.from_dict(columns).cast_column("label", label)

    def to_file(self, format: str, shown: Labelled) -> bytes | None:
        """The samples as one file of this format, `csv` or `parquet`; None where they have none."""
        return None

    def to_arrays(self, samples: Tensor) -> dict[str, np.ndarray]:
        """The arrays that an `.npz` export holds of the samples: `x`, and what must be known to read it."""
        return {"x": samples.numpy()}

    def to_float_arrays(self, samples: Tensor) -> dict[str, np.ndarray]:
        """As `to_arrays`, but with all digits that the samples have."""
        return self.to_arrays(samples)

    def stored_values(self, samples: Tensor) -> np.ndarray:
        """Samples [n, *shape] as a reader would store them: `tensors` gives them again, or close to them."""
        return samples.float().numpy()

    def bounded(self, samples: Tensor) -> Tensor:
        """Samples [n, *shape] with every value where real samples have theirs; as they are where that is anywhere."""
        return samples

    def exported(self, samples: Tensor) -> Tensor:
        """The samples as whoever reads an export gets them: where it rounds, not quite those that were made."""
        return samples

    def card(self, shown: Labelled, tiles: int) -> CardText:
        """What the card of a distilled set says of its samples."""
        rows = [
            f"| {y} | {markdown_text(name)} | {count} |"
            for y, (name, count) in enumerate(zip(shown.classes, shown.counts, strict=True))
        ]
        return CardText(
            task="",
            summary=f"{len(shown.labels)} {self.plural} ({self.described}) of {len(shown.classes)} classes.",
            classes="\n".join(["| Label | Class | Count |", "| --- | --- | --- |", *rows]),
            loading=f"`distilled.safetensors` holds the tensors `{self.plural}` (float32) and `labels` (int64).",
            expansion="Not used: every stored sample is one training sample.",
        )
