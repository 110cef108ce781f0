"""One and the same set in every form that strangers give it: the same samples, labels and soft labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from collabdm.errors import DataError
from collabdm.images.modality import Images
from collabdm.scoring.foreign import ForeignSet, read_foreign

SAMPLE = Images.declared({"shape": (3, 8, 8), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}, "auto")
CLASSES = ("cat", "dog")
LEVELS = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8)).astype(np.uint8)
LABELS = np.array([0, 0, 1, 1])
SOFT = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.0, 1.0]], np.float32)


def expected() -> torch.Tensor:
    return SAMPLE.tensors(LEVELS, device="cpu", dtype=torch.float32)


def read(path: Path, **options: Any) -> ForeignSet:
    return read_foreign(str(path), sample=SAMPLE, classes=CLASSES, **options)


def written(path: Path, form: str) -> Path:
    unit = torch.from_numpy(LEVELS).float() / 255
    match form:
        case "npz":
            np.savez(path / "a.npz", images=LEVELS.transpose(0, 2, 3, 1), labels=LABELS)
        case "npz with names":
            np.savez(path / "a.npz", x=LEVELS, y=1 - LABELS, classes=np.array(["dog", "cat"]))
        case "pt":
            torch.save({"images": unit, "labels": torch.from_numpy(LABELS)}, path / "a.pt")
        case "pt, normalised, nested":
            torch.save({"data": [[expected(), torch.from_numpy(LABELS)]], "accs": [1.0]}, path / "a.pt")
        case "npy, no labels":
            np.save(path / "a.npy", LEVELS)
        case "pt, no labels":
            torch.save(unit * 2 - 1, path / "a.pt")
        case "folder":
            for number, (image, label) in enumerate(zip(LEVELS, LABELS, strict=True)):
                file = path / "a" / CLASSES[label] / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.transpose(1, 2, 0)).save(file)
    return next(path.iterdir())


@pytest.mark.parametrize(
    "form", ["npz", "npz with names", "pt", "pt, normalised, nested", "pt, no labels", "npy, no labels", "folder"]
)
def test_the_same_set_in_every_form(form: str, tmp_path: Path) -> None:
    found = read(written(tmp_path, form))
    torch.testing.assert_close(found.samples, expected(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found.labels.numpy(), LABELS)
    assert found.targets is None
    assert found.counts(2) == [2, 2]
    assert all(found.assumed)


def test_soft_labels_come_from_the_set_or_from_a_file_of_their_own(tmp_path: Path) -> None:
    torch.save({"syn_images": torch.from_numpy(LEVELS), "soft_labels": torch.from_numpy(SOFT)}, tmp_path / "a.pt")
    np.save(tmp_path / "soft.npy", SOFT)
    torch.save(torch.from_numpy(SOFT), tmp_path / "soft.pt")
    folder = tmp_path / "images"
    folder.mkdir()
    whole = read(tmp_path / "a.pt")
    beside = [read(written(folder, "folder"), labels=str(tmp_path / name)) for name in ("soft.npy", "soft.pt")]
    for found in (whole, *beside):
        assert found.targets is not None
        np.testing.assert_allclose(found.targets.numpy(), SOFT, rtol=1e-6)
        np.testing.assert_array_equal(found.labels.numpy(), LABELS)
    assert "no hard labels: the class of the largest soft label" in whole.assumed


def test_columns_of_soft_labels_go_by_the_names_of_the_file(tmp_path: Path) -> None:
    swapped = {"x": LEVELS, "y": 1 - LABELS, "targets": SOFT[:, ::-1], "classes": np.array(["dog", "cat"])}
    np.savez(tmp_path / "a.npz", **swapped)
    found = read(tmp_path / "a.npz")
    assert found.targets is not None
    np.testing.assert_allclose(found.targets.numpy(), SOFT, rtol=1e-6)
    np.testing.assert_array_equal(found.labels.numpy(), LABELS)


def test_the_stated_range_of_an_export_holds(tmp_path: Path) -> None:
    stated = np.array([[-0.5, 0.0, 0.0], [1.5, 1.0, 2.0]])
    np.savez(tmp_path / "a.npz", x=LEVELS.transpose(0, 2, 3, 1), y=LABELS, range=stated)
    low, high = (side.reshape(3, 1, 1) for side in stated)
    pixels = (low + LEVELS / 255 * (high - low)).astype(np.float32)
    torch.testing.assert_close(
        read(tmp_path / "a.npz").samples, SAMPLE.tensors(pixels, device="cpu", dtype=torch.float32)
    )


@pytest.mark.parametrize(
    ("tree", "mentions"),
    [
        ({"images": torch.from_numpy(LEVELS), "labels": torch.tensor([0, 1])}, "2 labels for 4 images"),
        ({"images": torch.from_numpy(LEVELS), "labels": torch.tensor([0, 1, 2, 0])}, "row 2: got 2; expected 0 to 1"),
        ({"images": torch.from_numpy(LEVELS)[..., :5], "labels": torch.from_numpy(LABELS)}, "got 8x5 pixels"),
        ({"images": torch.from_numpy(LEVELS)[:3]}, "labels, or a multiple of 2 images"),
        ({"images": torch.from_numpy(LEVELS), "soft_labels": torch.rand(4, 5)}, r"expected \[4, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused(tree: Any, mentions: str, tmp_path: Path) -> None:
    torch.save(tree, tmp_path / "a.pt")
    with pytest.raises(DataError, match=mentions):
        read(tmp_path / "a.pt")


def test_other_files_of_labels_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "npz")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    for name, mentions in (("objects.npy", "no array of plain numbers"), ("none.npy", "no such file")):
        with pytest.raises(DataError, match=mentions):
            read(file, labels=str(tmp_path / name))


def test_levels_are_for_arrays_of_images_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leave --levels out"):
        read(written(tmp_path, "folder"), levels="signed")


def test_a_data_set_of_hugging_face_with_its_soft_labels(tmp_path: Path) -> None:
    import datasets

    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in LEVELS]
    columns = {"image": pictures, "label": LABELS.tolist(), "soft_labels": SOFT.tolist()}
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(CLASSES)),
            "soft_labels": datasets.Sequence(datasets.Value("float32")),
        }
    )
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "saved")
    found = read(tmp_path / "saved")
    torch.testing.assert_close(found.samples, expected())
    np.testing.assert_array_equal(found.labels.numpy(), LABELS)
    assert found.targets is not None
    np.testing.assert_allclose(found.targets.numpy(), SOFT, rtol=1e-6)


@pytest.mark.parametrize("name", ["none.npz", "none.npy", "none.pt"])
def test_a_file_that_is_not_there_is_said_to_be_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got no such file; .*fix: check the path"):
        read(tmp_path / name)


def test_a_description_that_is_none_is_left_unread(tmp_path: Path) -> None:
    unit = torch.from_numpy(LEVELS).float() / 255
    torch.save({"images": unit, "labels": torch.from_numpy(LABELS), "sample": '{"kind": "dream"}'}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    torch.testing.assert_close(found.samples, expected(), rtol=1e-5, atol=1e-5)
    assert "left unread: sample" in found.assumed


def test_floats_with_a_range_of_levels_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=LEVELS / 255, labels=LABELS, range=np.array([[-1.0] * 3, [2.0] * 3]))
    with pytest.raises(DataError, match="drop the array range"):
        read(tmp_path / "a.npz")
