import pytest

from collabdm.config import Config
from collabdm.data import PRESETS, generic_preset, preset_named
from collabdm.images.augment import OPERATIONS
from collabdm.planning import augmentation_for


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_presets_are_consistent(preset) -> None:
    channels, height, width = preset.shape
    assert len(preset.mean) == len(preset.std) == channels
    # None where they come with the data.
    assert len(set(preset.classes)) == (0 if preset.name == "cifar100" else 10)
    assert set(preset.without) < set(OPERATIONS)
    assert set(augmentation_for(Config(), preset)) == set(OPERATIONS) - set(preset.without)
    assert 2**preset.depth <= min(height, width)


def test_digits_are_not_flipped_and_objects_are() -> None:
    flips = {name: "flip" in augmentation_for(Config(), preset) for name, preset in PRESETS.items()}
    objects = {"fashion_mnist", "cifar10", "cifar100"}
    assert flips == {
        name: name in objects for name in ("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "digits")
    }


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cifar10", "cifar10"),
        ("CIFAR-10", "cifar10"),
        ("zalando-datasets/fashion_mnist", "fashion_mnist"),
        ("Fashion-MNIST", "fashion_mnist"),
        ("CIFAR100", "cifar100"),
        ("cifar11", None),
        ("mnist-corrupted", None),
    ],
)
def test_preset_named(name: str, found: str | None) -> None:
    preset = preset_named(name)
    assert (preset.name if preset else None) == found


@pytest.mark.parametrize(
    ("side", "depth"), [(2, 1), (4, 1), (7, 1), (8, 2), (16, 2), (28, 3), (32, 3), (64, 4), (128, 5), (224, 5)]
)
def test_generic_preset(side: int, depth: int) -> None:
    preset = generic_preset("mine", (3, side, side + 1), ("a", "b"))
    assert preset.depth == depth
    assert preset.mean == preset.std == (0.5, 0.5, 0.5)
    assert augmentation_for(Config(), preset) == ("colour", "crop", "cutout", "scale")
    assert set(OPERATIONS) - set(preset.augment or ()) == {"flip", "rotate"}
