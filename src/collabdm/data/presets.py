"""What is known about a data set beforehand: columns, class names, normalisation, augmentation, depth.

Normalisation is part of the plan, and no server of a real round can see pooled data; so its constants are
declared here (those of the dataset-distillation literature) and never computed.
"""

import math
import re
from dataclasses import dataclass

__all__ = ["AUGMENT_OPERATIONS", "PRESETS", "Preset", "generic_preset", "preset_named"]

AUGMENT_OPERATIONS = ("colour", "crop", "cutout", "flip", "scale", "rotate")
"""The six operations of differentiable Siamese augmentation, which the paper's authors use everywhere."""

_DIGITS = tuple(str(digit) for digit in range(10))
_NO_FLIP = tuple(operation for operation in AUGMENT_OPERATIONS if operation != "flip")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One data set's declared facts and proposals.

    `shape` is (C, H, W); `mean` and `std` are per channel, in pixels scaled to [0, 1]; `augment` and `depth`
    (of the ConvNet) are proposals that a plan may override. `hub` names the repository on the Hugging Face
    hub, if any; the columns are `None` where they must be detected, and `classes` is empty where they come
    with the data.
    """

    name: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: tuple[str, ...] = AUGMENT_OPERATIONS
    depth: int = 3
    hub: str | None = None
    hub_config: str | None = None
    image_column: str | None = None
    label_column: str | None = None


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="mnist",
            shape=(1, 28, 28),
            classes=_DIGITS,
            mean=(0.1307,),
            std=(0.3081,),
            augment=_NO_FLIP,
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
            augment=_NO_FLIP,
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
            augment=_NO_FLIP,
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


def generic_preset(name: str, shape: tuple[int, int, int], classes: tuple[str, ...]) -> Preset:
    """The preset of data about which nothing is known: 0.5/0.5 per channel, all six operations.

    The depth follows the literature: 3 for 28 and 32 pixels, 4 for 64, 5 for 128 and above, 2 for small
    images; and never so deep that pooling would leave nothing.
    """
    channels, side = shape[0], min(shape[1:])
    depth = min(max(round(math.log2(side)) - 2, 2), 5, max(int(math.log2(side)), 1))
    half = (0.5,) * channels
    return Preset(name=name, shape=shape, classes=classes, mean=half, std=half, depth=depth)


def _squeezed(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())
