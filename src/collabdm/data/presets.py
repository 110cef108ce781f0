"""What is known about a data set beforehand: columns, class names, normalisation, augmentation, depth.

Normalisation is part of the plan, and no server of a real round can see pooled data; so its constants are
declared here (those of the dataset-distillation literature) and never computed.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MILD", "PRESETS", "Preset", "generic_preset", "preset_named", "usual_depth"]

_DIGITS = tuple(str(digit) for digit in range(10))

MILD = ("colour", "crop", "cutout", "scale")
"""Operations of the augmentation for images about which nothing is known. A flip or a turn makes another thing of a
letter, a digit or a spectrogram; these only make it brighter, moved, partly hidden or of another size."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One data set's declared facts and proposals.

    `shape` is that of a stored sample, (C, H, W) for images; `mean` and `std` are per channel, in pixels scaled to
    [0, 1]; `declared` is what another modality needs to know instead. `augment` and `depth` (of the ConvNet) are
    proposals that a plan may override; `augment` None stands for all the operations there are but those in `without`.
    `hub` names the repository on the Hugging Face hub, if any; the columns are `None` where they must be detected, and
    `classes` is empty where they come with the data.
    """

    name: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    declared: Mapping[str, Any] | None = None
    augment: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    depth: int = 3
    hub: str | None = None
    hub_config: str | None = None
    image_column: str | None = None
    label_column: str | None = None

    @property
    def sample(self) -> dict[str, Any]:
        """What a modality makes its description of the samples of (`Modality.declared`)."""
        if self.declared is not None:
            return dict(self.declared)
        return {"shape": self.shape, "mean": self.mean, "std": self.std}


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="mnist",
            shape=(1, 28, 28),
            classes=_DIGITS,
            mean=(0.1307,),
            std=(0.3081,),
            without=("flip",),
            hub="ylecun/mnist",
            image_column="image",
            label_column="label",
        ),
        Preset(
            name="fashion_mnist",
            shape=(1, 28, 28),
            classes=(
                "T - shirt / top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            mean=(0.2861,),
            std=(0.3530,),
            hub="zalando-datasets/fashion_mnist",
            image_column="image",
            label_column="label",
        ),
        Preset(
            name="cifar10",
            shape=(3, 32, 32),
            classes=(
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ),
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2023, 0.1994, 0.2010),
            hub="uoft-cs/cifar10",
            image_column="img",
            label_column="label",
        ),
        Preset(
            name="cifar100",
            shape=(3, 32, 32),
            mean=(0.5071, 0.4865, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
            hub="uoft-cs/cifar100",
            image_column="img",
            label_column="fine_label",
        ),
        Preset(
            name="svhn",
            shape=(3, 32, 32),
            classes=_DIGITS,
            mean=(0.4377, 0.4438, 0.4728),
            std=(0.1980, 0.2010, 0.1970),
            without=("flip",),
            hub="ufldl-stanford/svhn",
            hub_config="cropped_digits",
            image_column="image",
            label_column="label",
        ),
        Preset(
            name="digits",
            shape=(1, 8, 8),
            classes=_DIGITS,
            mean=(0.5,),
            std=(0.5,),
            without=("flip",),
            depth=2,
        ),
    )
}


def preset_named(name: str) -> Preset | None:
    """The preset that a data set of this name would take: by its own name or its hub name's last part.

    Case, dashes and underscores do not matter: `Fashion-MNIST` finds `fashion_mnist`. None if there is none.
    """
    wanted = _squeezed(name.rsplit("/", 1)[-1])
    return next((preset for preset in PRESETS.values() if _squeezed(preset.name) == wanted), None)


def generic_preset(name: str, shape: tuple[int, ...], classes: tuple[str, ...]) -> Preset:
    """The preset of images about which nothing is known: 0.5/0.5 per channel, the `MILD` operations, `usual_depth`."""
    half = (0.5,) * shape[0]
    depth = usual_depth(shape)
    return Preset(name=name, shape=shape, classes=classes, mean=half, std=half, augment=MILD, depth=depth)


def usual_depth(shape: tuple[int, ...]) -> int:
    """The ConvNet's depth for samples of `shape`, by the shorter side of images (C, H, W).

    It follows the literature: 3 for 28 and 32 pixels, 4 for 64, 5 for 128 and above, 2 for small images; and never so
    deep that pooling would leave less than 2x2 positions, where the images have so many. Other samples: its default.
    """
    if len(shape) != 3:
        return Preset.depth
    side = min(shape[1:])
    return min(max(round(math.log2(side)) - 2, 2), 5, max(int(math.log2(side)) - 1, 1))


def _squeezed(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())
