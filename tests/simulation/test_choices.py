"""What the data decide where the settings leave it open, and how it is told."""

import pytest

from collabdm.config import Config
from collabdm.data import PRESETS, Preset, generic_preset
from collabdm.modalities import MODALITIES
from collabdm.planning import make_plan
from collabdm.simulation.choices import augmentation_text, fitting_method, fitting_methods

UNKNOWN = generic_preset("mine", (1, 16, 16), ("a", "b"))
FLOWS = Preset(name="flows", shape=(1, 16, 16), classes=("a", "b"), mean=(0.5,), std=(0.5,), augment=())


@pytest.mark.parametrize(
    ("preset", "augment", "told"),
    [
        (UNKNOWN, "auto", "colour, crop, cutout, scale (mild, as nothing is known of these images; "),
        (UNKNOWN, "all", "colour, crop, cutout, flip, scale, rotate (as plan.augment says)"),
        (UNKNOWN, "none", "none (as plan.augment says)"),
        (UNKNOWN, ("crop",), "crop (as plan.augment says)"),
        (FLOWS, "auto", "none (as such images propose; plan.augment changes it)"),
        (PRESETS["digits"], "auto", "colour, crop, cutout, scale, rotate (as is usual for digits; "),
        (PRESETS["cifar10"], "auto", "colour, crop, cutout, flip, scale, rotate (as is usual for cifar10; "),
    ],
)
def test_the_augmentation_is_told_with_its_reason(preset: Preset, augment: object, told: str) -> None:
    assert augmentation_text(Config(plan={"augment": augment}), preset).startswith(f"augmentation: {told}")


def test_what_is_usual_for_a_data_set_of_images_is_not_said_of_series() -> None:
    config = Config(modality="series", method="collabdm")
    preset = MODALITIES["series"].preset_of("digits", (2, 8), ("a", "b"))
    assert augmentation_text(config, preset).startswith("augmentation: shift (as such series propose; ")


@pytest.mark.parametrize(("side", "tiles", "method"), [(4, 1, "collabdm"), (7, 1, "collabdm"), (8, 2, "collabdm-pae")])
def test_tiles_are_switched_off_below_eight_pixels(side: int, tiles: int, method: str) -> None:
    preset = generic_preset("mine", (3, 64, side), ("a", "b"))
    config, told = fitting_method(Config(), preset)
    assert config.method == method
    assert (told is None) == (side >= 8)
    for one in (Config(), config):
        assert make_plan(one, clients=["x"], preset=preset).tiles == tiles


def test_tiles_that_are_set_are_left_as_they_are() -> None:
    small = generic_preset("mine", (1, 4, 4), ("a", "b"))
    for tiles in (1, 2):
        config = Config(plan={"tiles": tiles})
        assert fitting_methods(config, ["collabdm-pae", "collabdm"], small) == (["collabdm-pae", "collabdm"], None)


def test_a_method_whose_plain_form_is_there_is_left_out() -> None:
    small = generic_preset("mine", (1, 4, 4), ("a", "b"))
    kept, told = fitting_methods(Config(), ["collabdm-pae", "full-data", "collabdm"], small)
    assert kept == ["full-data", "collabdm"]
    assert told == (
        "images of 4x4 are too small for partition and expand: left out, as the methods without it are there: "
        "collabdm-pae"
    )
