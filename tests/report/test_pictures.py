"""Pictures are PNGs that show their data: pixels are looked up where the data must be."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from collabdm.distilled.set import DistilledSet
from collabdm.errors import ConfigError
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.images.preview import grid_picture, preview_picture
from collabdm.report.pictures import comparison_picture, loss_picture, partition_picture


def opened(content: bytes | None) -> np.ndarray:
    assert content is not None
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


def solid(colour: tuple[int, int, int], side: int = 8) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, side, side))


def count_of(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=-1).sum())


def test_preview_shows_each_class_in_its_row() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    labels = np.array([2, 0, 1, 1])
    sheet = opened(preview_picture(np.stack([solid(colours[k]) for k in labels]), labels, ("a", "b", "c")))
    assert [count_of(sheet, colour) for colour in colours] == [64 * 64, 2 * 64 * 64, 64 * 64]
    tops = [np.argwhere((sheet == colour).all(axis=-1))[0, 0] for colour in colours]
    assert tops == sorted(tops)
    assert tuple(sheet[0, 0]) == (255, 255, 255)


def test_preview_shows_at_most_ten_images_and_fifty_classes() -> None:
    pixels, labels = np.stack([solid((200, 0, 0))] * 12), np.zeros(12, np.int64)
    assert count_of(opened(preview_picture(pixels, labels, ("a",))), (200, 0, 0)) == 10 * 64 * 64
    classes = tuple(f"class {k}" for k in range(200))
    sheet = opened(preview_picture(np.stack([solid((200, 0, 0))] * 200), np.arange(200), classes))
    assert count_of(sheet, (200, 0, 0)) == 50 * 64 * 64


def test_a_preview_of_classes_without_images_is_blank() -> None:
    pixels, labels = solid((200, 0, 0))[None], np.array([60])
    assert count_of(opened(preview_picture(pixels, labels, tuple(f"class {k}" for k in range(61)))), (200, 0, 0)) == 0


def test_images_larger_than_a_cell_keep_their_pixels() -> None:
    sheet = opened(grid_picture([("big", [[solid((200, 0, 0), side=100)]])], ()))
    assert count_of(sheet, (200, 0, 0)) == 100 * 100


def distilled(colour: float, labels: list[int], classes: tuple[str, ...] = ("a", "b")) -> DistilledSet:
    return DistilledSet(
        samples=torch.full((len(labels), 1, 8, 8), colour),
        labels=torch.tensor(labels),
        classes=classes,
        sample=Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.0,), std=(1.0,))),
        augment=(),
        method="m",
        facts={},
    )


def test_comparison_has_a_block_for_each_method() -> None:
    sheet = opened(comparison_picture([("one", distilled(0.2, [0, 0, 0, 1])), ("two", distilled(0.6, [0, 1]))]))
    assert count_of(sheet, (51, 51, 51)) == 3 * 64 * 64  # two images of class a, one of b
    assert count_of(sheet, (153, 153, 153)) == 2 * 64 * 64


def test_comparison_of_unlike_sets() -> None:
    with pytest.raises(ConfigError, match="same classes"):
        comparison_picture([("one", distilled(0.2, [0])), ("two", distilled(0.2, [0], ("x", "y")))])
    with pytest.raises(ConfigError, match="at least one set"):
        comparison_picture([])


def test_names_are_text_and_no_formulas() -> None:
    opened(partition_picture(np.ones((1, 2), np.int64), ["$\\bar$"], ["$\\foo$", "$"]))


@pytest.mark.parametrize(("clients", "classes"), [(1, 2), (5, 10), (120, 40)])
def test_partition_is_darkest_where_most_is_held(clients: int, classes: int) -> None:
    names = [f"client-{k}" for k in range(clients)], [f"class {k}" for k in range(classes)]
    counts = np.zeros((clients, classes), np.int64)
    empty = opened(partition_picture(counts, *names))
    counts[0, :] = 1000
    filled = opened(partition_picture(counts, *names))
    darkest = (8, 48, 107)  # the last colour of matplotlib's Blues
    assert count_of(filled, darkest) > count_of(empty, darkest) + 20 * classes
    assert max(filled.shape) < 6000


@pytest.mark.parametrize(
    "losses", [[], [1.0], [0.0, 0.0], [3.0, 1.0, float("nan"), 0.5], [10.0 / (k + 1) for k in range(500)]]
)
def test_loss_curve_is_drawn(losses: list[float]) -> None:
    sheet = opened(loss_picture(losses))
    blue = (sheet[..., 2] > sheet[..., 0] + 60).sum()
    assert blue > 20 if losses else blue == 0


def test_pictures_are_reproducible() -> None:
    assert loss_picture([3.0, 2.0]) == loss_picture([3.0, 2.0])
