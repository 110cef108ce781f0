"""What is said of images as samples: sizes, tiles, pixels, and where it differs from what any samples can do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from collabdm.checking import Checker
from collabdm.errors import ConfigError, DataError
from collabdm.images import partition_expand
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.modality import Labelled, Modality
from collabdm.randomness import Stream

COLOUR = Normalisation(mean=(0.5, 0.25, 0.0), std=(0.5, 0.2, 2.0))
GREY = Normalisation(mean=(0.5,), std=(0.25,))


def images_of(channels: int = 3, height: int = 8, width: int = 12) -> Images:
    normalisation = COLOUR if channels == 3 else GREY
    return Images.model_validate(
        {"channels": channels, "height": height, "width": width, "normalisation": normalisation}
    )


def some(count: int, sample: Images) -> Tensor:
    return torch.from_numpy(Stream(2, "images").uniform((count, *sample.shape), -1, 1)).float()


def test_the_description_is_of_one_image() -> None:
    assert images_of().shape == (3, 8, 12)
    assert images_of().described == "8x12, RGB"
    assert images_of(1).described == "8x12, grey"
    assert (Images.plural, Images.network, Images.largest) == ("images", "convnet", 100.0)
    assert images_of().model_dump(mode="json") == {
        "kind": "images",
        "channels": 3,
        "height": 8,
        "width": 12,
        "normalisation": {"mean": [0.5, 0.25, 0.0], "std": [0.5, 0.2, 2.0]},
    }


@pytest.mark.parametrize(
    "change", [{"channels": 2}, {"channels": 1}, {"height": 0}, {"width": 5000}, {"depth": 3}, {"kind": "rows"}]
)
def test_what_is_no_image_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Images.model_validate(images_of().model_dump() | change)


def test_a_plan_may_have_sides_from_1_to_1024() -> None:
    for height, width in ((1, 1024), (1024, 1), (1, 1)):
        images_of(3, height, width).check_plan()
    for height, width, says in ((1025, 8, "sample.height"), (8, 1025, "sample.width")):
        with pytest.raises(ValueError, match=f"{says} must be at most 1024, got 1025"):
            images_of(3, height, width).check_plan()


def test_an_image_of_another_size_or_colour_is_told_apart() -> None:
    sample = images_of()
    sample.check((3, 8, 12))
    with pytest.raises(DataError, match=r"image shape: got \(1, 8, 12\); .* as many channels"):
        sample.check((1, 8, 12))
    for shape in ((3, 12, 8), (1, 8, 8), (8, 12), (12,)):
        with pytest.raises(DataError, match=r"image shape: got .*expected \(3, 8, 12\); fix: resize the images"):
            sample.check(shape)


def test_declared_facts_are_normalised_by_them_or_as_configured() -> None:
    facts = {"shape": (3, 8, 12), "mean": COLOUR.mean, "std": COLOUR.std}
    assert Images.declared(facts, "auto") == images_of()
    other = Normalisation(mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    assert Images.declared(facts, other).normalisation == other
    with pytest.raises(ValidationError, match="another number of channels"):
        Images.declared(facts, GREY)


def test_unknown_images_are_taken_to_have_half_and_half() -> None:
    preset = Images.preset_of("some.npz", (3, 64, 48), ("a", "b"))
    made = Images.declared(preset.sample, "auto")
    assert made.normalisation == Normalisation(mean=(0.5,) * 3, std=(0.5,) * 3)
    assert (made.shape, preset.classes) == ((3, 64, 48), ("a", "b"))


def test_a_shape_is_channels_height_and_width() -> None:
    assert Images.shape_in("3x32x28") == (3, 32, 28)
    for text in ("2x32x32", "32x32", "3x32x32x3", "3x-1x3", "3x12345x3", "3X32X32", "3x0x32", ""):
        with pytest.raises(ConfigError, match=r"--shape: got .*; expected channels \(1 or 3\) x height x width"):
            Images.shape_in(text)


@pytest.mark.parametrize("channels", [1, 3])
def test_stored_pixels_become_normalised_ones_and_pictures_of_them(channels: int) -> None:
    sample = images_of(channels)
    stored = Stream(1, "pixels").integers(256, (5, *sample.shape)).astype(np.uint8)
    shown = sample.tensors(stored, device="cpu", dtype=torch.float32)
    for c in range(channels):
        expected = (stored[:, c] / 255 - sample.normalisation.mean[c]) / sample.normalisation.std[c]
        np.testing.assert_allclose(shown[:, c], expected, atol=1e-5)
    np.testing.assert_allclose(sample.pixels(shown), stored / 255, atol=1e-6)
    assert np.array_equal(sample.pictures(shown), stored)
    exported = sample.to_arrays(shown)
    expected = stored[:, 0] if channels == 1 else np.stack([stored[:, c] for c in range(3)], axis=-1)
    assert exported.keys() == {"x"}
    assert np.array_equal(exported["x"], expected)
    assert exported["x"].flags.c_contiguous


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_beyond_black_and_white_are_exported_within_a_level_of_their_range(channels: int) -> None:
    sample = images_of(channels)
    samples = 3 * some(5, sample)
    pixels, stated = sample.pixels(samples).numpy(), sample.range_of(samples)
    steps = np.subtract(stated.high, stated.low).reshape(-1, 1, 1) / 255
    arrays = sample.to_arrays(samples)
    assert np.array_equal(arrays["range"], [stated.low, stated.high])
    levels = arrays["x"][:, None] if channels == 1 else arrays["x"].transpose(0, 3, 1, 2)
    assert np.array_equal(levels, sample.levels(samples))
    assert (np.abs(stated.pixels(levels, "levels") - pixels) <= 0.501 * steps).all()
    assert (np.abs(sample.pixels(sample.exported(samples)).numpy() - pixels) <= 0.501 * steps).all()


def test_views_are_the_image_and_its_mirror_image_where_the_augmentation_mirrors() -> None:
    sample = images_of()
    shown = some(3, sample)
    for augment, viewed in (((), ()), (("crop",), ()), (("crop", "flip"), ("flip",))):
        assert sample.viewed(augment) == viewed
        views = sample.views(shown, augment)
        assert torch.equal(views[0], shown)
        assert [torch.equal(view, shown.flip(3)) for view in views[1:]] == [True] * len(viewed)


def test_tiles_are_those_of_partition_and_expand() -> None:
    sample = images_of()
    samples = some(4, sample)
    sample.check_tiles(2)
    assert torch.equal(sample.expand(samples, 2), partition_expand.expand(samples, 2))
    assert torch.equal(sample.pack(samples, 2), partition_expand.pack(samples, 2))
    assert torch.equal(sample.expand(samples, 1), samples)
    for refused in (
        lambda: sample.check_tiles(3),
        lambda: sample.expand(samples, 3),
        lambda: sample.pack(samples, 3),
    ):
        with pytest.raises(ConfigError, match="tiles: got 3; expected 1 to 2 for 8x12 images"):
            refused()


def test_made_images_take_their_tiles_from_the_class_or_mix_two() -> None:
    sample = images_of(3, 8, 12)
    union = some(3, sample)
    made = sample.made_of(Stream(1), union, 6, 2)
    assert made.shape == (6, 3, 8, 12)

    def tiles_of(image: Tensor) -> list[Tensor]:
        return [image[:, top : top + 4, left : left + 6] for top in (0, 4) for left in (0, 6)]

    received = [tile for image in union for tile in tiles_of(image)]
    for image in made:
        assert all(any(torch.equal(tile, other) for other in received) for tile in tiles_of(image))
    mixed = sample.made_of(Stream(1), union, 6, 1)
    assert (mixed >= union.amin(dim=0) - 1e-6).all()
    assert (mixed <= union.amax(dim=0) + 1e-6).all()


def test_the_centre_is_the_mean_of_each_channel() -> None:
    sample = images_of()
    received = some(4, sample)
    centre = sample.centre(received)
    assert centre.shape == (1, 3, 1, 1)
    for c in range(3):
        assert float(centre[0, c]) == pytest.approx(float(received[:, c].double().mean()), abs=1e-6)


def test_the_compact_form_is_a_strip_and_back() -> None:
    sample = images_of()
    samples = some(4, sample).numpy()
    tensors = sample.to_compact(samples)
    assert set(tensors) == sample.compact == {"images", "images.range", "images.clipped"}
    back = sample.from_compact(tensors, 4, Checker("sent"))
    assert back.shape == samples.shape
    assert np.abs(back - samples).max() <= 2 / 510 * 1.01


@pytest.mark.parametrize("channels", [1, 3])
def test_files_previews_and_a_data_set_hold_the_levels(channels: int, tmp_path: Path) -> None:
    sample = images_of(channels)
    shown = Labelled(samples=some(3, sample), labels=torch.tensor([0, 1, 1]), classes=("a", "b"))
    pictures = sample.levels(shown.samples).transpose(0, 2, 3, 1)
    assert sample.write_folder(tmp_path / "folder", shown) is True
    for path, expected in zip(sorted((tmp_path / "folder").rglob("*.png")), pictures, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)).reshape(expected.shape), expected)
    assert sample.preview(shown).startswith(b"\x89PNG")
    dataset = sample.to_huggingface(shown)
    assert dataset["label"][:] == [0, 1, 1]
    for row, expected in zip(dataset, pictures, strict=True):
        assert np.array_equal(np.asarray(row["image"]).reshape(expected.shape), expected)  # type: ignore[call-overload]
    card = sample.card(shown, 2)
    assert card.task == "image-classification"


def test_floats_are_pixels_within_0_and_1() -> None:
    sample = images_of()
    for values in (np.full((2, 3, 8, 12), 255, np.uint8), np.ones((2, 3, 8, 12), np.float32), np.zeros((0, 3, 8, 12))):
        sample.check_values(values)
    for value, told in ((np.nan, "pixels of the images, row 1: got NaN"), (255.0, "pixels of the images: got floats")):
        values = np.zeros((2, 3, 8, 12), np.float32)
        values[1, 2, 7, 11] = value
        with pytest.raises(DataError, match=told):
            sample.check_values(values)
        if np.isfinite(value):
            Modality.check_values(sample, values)
        else:
            with pytest.raises(DataError, match="values of the images, row 1: got NaN or infinity"):
                Modality.check_values(sample, values)
