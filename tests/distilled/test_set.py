"""A distilled set survives every way out and back, and refuses every bad way in."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.utils.data import DataLoader

from cli.conftest import run
from collabdm.data.stated_range import StatedRange
from collabdm.distilled.format import decode
from collabdm.distilled.set import DistilledSet, load
from collabdm.errors import DistilledSetError
from collabdm.evaluation.judging import training_set
from collabdm.images.modality import Images
from collabdm.images.partition_expand import expand
from collabdm.modalities import modality_in

CLASSES = ("cat", "dog", "eel")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
LEFT = Path(__file__).parents[1] / "fixtures" / "version_1"


def images_like(shape: tuple[int, ...], mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Images:
    """What images of a `shape` (C, H, W) are."""
    channels, height, width = shape
    fields = {"channels": channels, "height": height, "width": width, "normalisation": {"mean": mean, "std": std}}
    return Images.model_validate(fields)


def make(**changes: Any) -> DistilledSet:
    numbers = np.random.Generator(np.random.Philox(key=7))
    fields: dict[str, Any] = {
        "samples": torch.from_numpy(numbers.normal(size=(6, 3, 8, 12)).astype(np.float32)),
        "labels": torch.tensor([2, 0, 0, 1, 2, 1]),
        "classes": CLASSES,
        "sample": images_like((3, 8, 12)),
        "tiles": 2,
        "augment": ("colour", "crop"),
        "method": "collabdm-pae",
        "facts": {
            "dataset": "pets",
            "init": "real",
            "clients": 5,
            "seeds": [1, 2],
            "loss": 0.1,
            "note": None,
        },
    }
    return DistilledSet(**(fields | changes))


def assert_same(a: DistilledSet, b: DistilledSet) -> None:
    assert torch.equal(a.samples.view(torch.int32), b.samples.view(torch.int32))  # to the bit, signed zeros too
    assert torch.equal(a.labels, b.labels)
    assert (a.targets is None) == (b.targets is None)
    assert a.targets is None or b.targets is None or torch.equal(a.targets, b.targets)
    for name in ("classes", "sample", "tiles", "augment", "method", "facts"):
        assert getattr(a, name) == getattr(b, name), name


def pixels_of(chosen: DistilledSet) -> torch.Tensor:
    assert isinstance(chosen.sample, Images)
    return chosen.sample.pixels(chosen.samples)


def test_save_and_load_are_exact(tmp_path: Path) -> None:
    original = make(samples=torch.tensor([0.0, -0.0, 1e-40, 3.4e38]).repeat(6, 3, 8, 3))
    original.save(tmp_path / "set")
    assert_same(load(tmp_path / "set"), original)
    assert_same(load(str(tmp_path / "set" / "distilled.safetensors")), original)


def test_the_file_is_the_same_to_the_byte(tmp_path: Path) -> None:
    facts = {"b": 1, "a": {"y": 2, "x": (3, 4)}}
    make(facts=facts).save(tmp_path / "one")
    make(facts=dict(reversed(facts.items()))).save(tmp_path / "two")
    load(tmp_path / "one").save(tmp_path / "three")
    contents = [(tmp_path / name / "distilled.safetensors").read_bytes() for name in ("one", "two", "three")]
    assert contents[0] == contents[1] == contents[2] == make(facts=facts).to_bytes()
    previews = {(tmp_path / name / "preview.png").read_bytes() for name in ("one", "two", "three")}
    assert len(previews) == 1


def test_it_is_a_torch_dataset() -> None:
    chosen = make()
    image, label = chosen[3]
    assert torch.equal(image, chosen.samples[3])
    assert (label, type(label), len(chosen)) == (1, int, 6)
    images, labels = zip(*DataLoader(chosen, batch_size=4), strict=True)
    assert torch.equal(torch.cat(images), chosen.samples)
    assert torch.equal(torch.cat(labels), chosen.labels)
    assert chosen.counts().tolist() == [2, 2, 2]
    assert_same(pickle.loads(pickle.dumps(chosen)), chosen)  # DataLoader workers may need to pickle it


def test_expanded() -> None:
    chosen = make()
    expanded = chosen.expanded()
    assert (len(expanded), expanded.tiles, expanded.samples.shape[1:]) == (24, 1, (3, 8, 12))
    assert torch.equal(expanded.samples, expand(chosen.samples, 2))
    assert expanded.labels.tolist() == [label for label in chosen.labels.tolist() for _ in range(4)]
    assert_same(expanded.expanded(), expanded)


def test_pixels_undo_the_normalisation() -> None:
    pixels = np.random.Generator(np.random.Philox(key=3)).integers(0, 256, size=(2, 3, 4, 4))
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7])
    normalised = (pixels / 255 - mean[:, None, None]) / std[:, None, None]
    chosen = make(
        samples=torch.from_numpy(normalised.astype(np.float32)),
        labels=torch.tensor([0, 1]),
        tiles=1,
        sample=images_like((3, 4, 4), tuple(mean), tuple(std)),
    )
    np.testing.assert_allclose(pixels_of(chosen), pixels / 255, atol=1e-6)
    np.testing.assert_array_equal(chosen.pictures(), pixels)
    outside = replace(chosen, samples=torch.full((2, 3, 4, 4), 9.0))
    assert pixels_of(outside).max() > 1
    assert (outside.pictures() == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_huggingface(channels: int) -> None:
    sample = images_like((channels, 8, 12), (0.5,) * channels, (0.25,) * channels)
    chosen = make(samples=make().samples[:, :channels], sample=sample)
    table, full = chosen.to_huggingface(), chosen.expanded()
    assert table.features["label"].names == list(CLASSES)
    assert table["label"] == full.labels.tolist()
    read = np.stack([np.asarray(row["image"]).reshape(8, 12, channels) for row in list[Any](table)])
    assert_rounded(read, full)
    for row in list[Any](table):
        assert StatedRange.read(row["image"].info, "image") == StatedRange.of(pixels_of(full).double().numpy())


def assert_rounded(levels: np.ndarray, full: DistilledSet) -> None:
    """Levels [n, H, W, C] are the set's pixels within half a level of the range from the least to the largest."""
    pixels = pixels_of(full).double().permute(0, 2, 3, 1).numpy()
    low = np.minimum(pixels.min(axis=(0, 1, 2)), 0)
    high = np.maximum(pixels.max(axis=(0, 1, 2)), 1)
    assert (np.abs(low + levels / 255 * (high - low) - pixels) <= 0.501 * (high - low) / 255).all()


def read_back(cache: Path, path: str, **options: Any) -> tuple[list[str], list[tuple[int, np.ndarray]]]:
    import datasets

    table = datasets.load_dataset(path, **options, split="train", cache_dir=str(cache))
    names = table.features["label"].names
    return names, [(row["label"], np.asarray(row["image"])) for row in list[Any](table)]


@pytest.mark.parametrize(
    ("classes", "labels", "folders"),
    [
        (("cat", "dog", "eel"), [2, 0, 0, 1, 2, 1], ["cat", "dog", "eel"]),
        (("test", "train", "val"), [2, 0, 0, 1, 2, 1], ["test+", "train+", "val+"]),
        (("zebra", "T-shirt / top", "ant"), [2, 0, 0, 1, 2, 1], ["00-zebra", "01-T-shirt_top", "02-ant"]),
        (("a/b", "a:b", "../.."), [2, 0, 0, 1, 2, 1], ["00-a_b", "01-a_b", "02-class"]),
        (("cat", "dog", "eel"), [2, 0, 0, 2, 2, 0], ["00-cat", "02-eel"]),
    ],
)
def test_imagefolder_reads_the_pngs(
    tmp_path: Path, classes: tuple[str, ...], labels: list[int], folders: list[str]
) -> None:
    chosen = make(classes=classes, labels=torch.tensor(labels))
    chosen.to_folder(tmp_path / "pngs")
    names, rows = read_back(tmp_path / "cache", "imagefolder", data_dir=str(tmp_path / "pngs"))
    assert names == folders == sorted(os.listdir(tmp_path / "pngs"))
    present = sorted(set(labels))
    full = chosen.expanded()
    order = np.argsort(full.labels.numpy(), kind="stable")  # folders in order of labels, files in order of indices
    assert [present[label] for label, _ in rows] == full.labels[order].tolist()
    assert_rounded(np.stack([image for _, image in rows]), replace(full, samples=full.samples[order]))


def test_a_saved_folder_is_a_hub_data_set(tmp_path: Path) -> None:
    make().save(tmp_path / "set")
    names, rows = read_back(tmp_path / "cache", str(tmp_path / "set"))
    assert names == list(CLASSES)
    assert sorted(label for label, _ in rows) == [0] * 8 + [1] * 8 + [2] * 8  # the preview is not among them


@pytest.mark.parametrize("change", ["another folder", "in place"])
def test_a_set_is_not_taken_for_another_that_was_read_before(tmp_path: Path, change: str) -> None:
    """`datasets` keeps what it has read by the names of folder and configuration, and both folders are `distilled`."""
    first, second, cache = tmp_path / "one" / "distilled", tmp_path / "two" / "distilled", tmp_path / "cache"
    place = first if change == "in place" else second
    make().save(first)
    assert len(read_back(cache, str(first))[1]) == 24
    make(samples=make().samples[:3], labels=torch.tensor([0, 1, 2])).save(place, overwrite=True)
    assert len(read_back(cache, str(place))[1]) == 12
    make(samples=-make().samples).save(place, overwrite=True)
    (_, brighter), (_, darker) = (read_back(cache, str(place))[1][0], read_back(tmp_path / "fresh", str(place))[1][0])
    assert np.array_equal(brighter, darker)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=12, unique=True), st.data())
def test_folder_names_are_safe_and_in_label_order(classes: list[str], data: st.DataObject) -> None:
    from collabdm.images.image_folder import class_folders

    counts = data.draw(st.lists(st.integers(0, 2), min_size=len(classes), max_size=len(classes)))
    folders = class_folders(classes, counts)
    assert list(folders) == sorted(folders)
    assert len({name.casefold() for name in folders}) == len(classes)
    for name in folders:
        assert 0 < len(name) < 100
        assert not set(name) & set('/\\:*?"<>|\0\n ')
        assert not name.startswith((".", "_"))


def test_saving_over_something(tmp_path: Path) -> None:
    target = tmp_path / "set"
    make().save(target)
    other = make(method="local-dm-pae")
    with pytest.raises(DistilledSetError, match="exists"):
        other.save(target)
    assert load(target).method == "collabdm-pae"
    other.save(target, overwrite=True)
    assert load(target).method == "local-dm-pae"
    with pytest.raises(DistilledSetError, match="exists"):
        other.to_folder(target)
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    with pytest.raises(DistilledSetError, match="holds no distilled set"):
        other.save(precious, overwrite=True)
    assert (precious / "thesis.tex").read_text() == "years of work"
    assert sorted(os.listdir(tmp_path)) == ["home", "set"]


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make().save(tmp_path / "set")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("collabdm.images.modality.write_images", full)
    with pytest.raises(DistilledSetError, match="No space left"):
        make(method="other").save(tmp_path / "set", overwrite=True)
    assert os.listdir(tmp_path) == ["set"]
    assert load(tmp_path / "set").method == "collabdm-pae"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": torch.zeros(6, 3, 8, 12, dtype=torch.float64)}, "images: got torch.float64"),
        ({"samples": torch.zeros(6, 8, 12)}, "images: got"),
        ({"samples": torch.zeros(6, 2, 8, 12)}, "images: got"),
        ({"samples": torch.full((6, 3, 8, 12), torch.nan)}, "NaN or infinite"),
        ({"samples": torch.zeros(0, 3, 8, 12), "labels": torch.zeros(0, dtype=torch.int64)}, "images: got"),
        ({"labels": torch.zeros(6)}, "labels: got torch.float32"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, "labels: got"),
        ({"labels": torch.tensor([0, 1, 2, 3, 0, 0])}, "labels: got 0 to 3; expected 0 to 2"),
        ({"labels": torch.tensor([0, 1, 2, -1, 0, 0])}, "labels: got -1 to 2"),
        ({"classes": ("a", "a", "b")}, "distinct names"),
        (
            {"sample": images_like((3, 12, 8))},
            "images: got torch.float32 [6, 3, 8, 12]; expected float32 [n, 3, 12, 8]",
        ),
        ({"sample": images_like((1, 8, 12), (0.5,), (0.5,))}, "images: got"),
        ({"tiles": 3}, "tiles: got 3; expected 1 to 2"),
        ({"tiles": 0}, "tiles: got 0"),
        ({"method": 3}, "method: got 3"),
        ({"facts": {"loss": float("nan")}}, "facts: got"),
        ({"facts": {"loss": np.float32(1)}}, "facts: got"),
        ({"targets": torch.full((6, 3), 1 / 3, dtype=torch.float64)}, "targets: got torch.float64 [6, 3]"),
        ({"targets": torch.ones(6, 1)}, "targets: got torch.float32 [6, 1]; expected float32 [6, 3]"),
        ({"targets": torch.full((5, 3), 1 / 3)}, "targets: got torch.float32 [5, 3]"),
        ({"targets": torch.ones(6)}, "targets: got torch.float32 [6]"),
        ({"targets": torch.tensor([[0.7, 0.5, -0.2]] * 6)}, "targets: got negative, NaN or infinite values"),
        ({"targets": torch.tensor([[0.5, 0.5, torch.nan]] * 6)}, "targets: got negative, NaN"),
        ({"targets": torch.tensor([[0.5, 0.5, torch.inf]] * 6)}, "targets: got negative, NaN or infinite"),
        ({"targets": torch.tensor([[0.5, 0.5, 0.0]] * 5 + [[0.5, 0.5, 0.1]])}, "sums to 1 but for 0.1; expected rows"),
        ({"targets": torch.zeros(6, 3)}, "rows that sum to one"),
    ],
)
def test_fields_that_contradict_each_other(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DistilledSetError) as error:
        make(**changes)
    text = str(error.value)
    assert message in text
    assert "; expected " in text
    assert "; fix: " in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.5,), STD),
        (MEAN, (0.5, 0.0, 0.5)),
        (MEAN, (0.5, float("inf"), 0.5)),
        ((0.5, float("nan"), 0.5), STD),
        ((0.5,), (0.5,)),
    ],
)
def test_constants_that_normalise_no_such_images(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        images_like((3, 8, 12), mean, std)


GOOD = make(tiles=1).to_bytes()
TARGETS = torch.tensor([[0.5, 0.25, 0.25], [1, 0, 0], [0, 1, 0], [0.125, 0.5, 0.375], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3]])
GOOD_2 = make(tiles=1, targets=TARGETS).to_bytes()


def metadata_in(content: bytes) -> dict[str, Any]:
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["collabdm"])


def rebuilt(change: Callable[[dict[str, Any]], Any], *, good: bytes = GOOD, **tensors: torch.Tensor) -> bytes:
    """The good file with its metadata changed and tensors added or replaced."""
    metadata = metadata_in(good)
    change(metadata)
    return safetensors.torch.save(safetensors.torch.load(good) | tensors, {"collabdm": json.dumps(metadata)})


def rebuilt_2(change: Callable[[dict[str, Any]], Any], **tensors: torch.Tensor) -> bytes:
    """The same of the file of version 2."""
    return rebuilt(change, good=GOOD_2, **tensors)


def with_header(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The good file with its raw header changed."""
    length = struct.unpack("<Q", GOOD[:8])[0]
    header = json.loads(GOOD[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + GOOD[8 + length :]


def nothing(_: dict[str, Any]) -> None:
    pass


TENSORS = safetensors.torch.load(GOOD)
HOSTILE = {
    "empty": b"",
    "short": b"abc",
    "truncated": GOOD[:-100],
    "truncated in the header": GOOD[:100],
    "longer": GOOD + b"x",
    "pickle": pickle.dumps({"images": [1, 2, 3], "labels": [0] * 100}),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "endless header": struct.pack("<Q", 2**63) + GOOD[8:],
    "deep header": struct.pack("<Q", 200_000) + b"[" * 100_000 + b"]" * 100_000,
    "header is a list": struct.pack("<Q", 2) + b"[]",
    "absurd shape": with_header(lambda h: h["images"].update(shape=[10**15, 3, 8, 12])),
    "overflowing shape": with_header(lambda h: h["images"].update(shape=[2**62, 2**62, 2**62, 0])),
    "negative shape": with_header(lambda h: h["images"].update(shape=[-6, 3, 8, -12])),
    "shape is text": with_header(lambda h: h["images"].update(shape="6388")),
    "offsets outside": with_header(lambda h: h["images"].update(data_offsets=[0, 2**40])),
    "entry is a number": with_header(lambda h: h.update(images=3)),
    "no metadata": safetensors.torch.save(TENSORS),
    "foreign metadata": safetensors.torch.save(TENSORS, {"format": "pt"}),
    "further metadata": with_header(lambda h: h["__metadata__"].update(more="x")),
    "metadata is no JSON": safetensors.torch.save(TENSORS, {"collabdm": "{"}),
    "deep metadata": safetensors.torch.save(TENSORS, {"collabdm": "[" * 50_000}),
    "double images": rebuilt(nothing, images=TENSORS["images"].double()),
    "half images": rebuilt(nothing, images=TENSORS["images"].half()),
    "flat images": rebuilt(nothing, images=TENSORS["images"].flatten()),
    "int32 labels": rebuilt(nothing, labels=TENSORS["labels"].int()),
    "too few labels": rebuilt(nothing, labels=TENSORS["labels"][:5]),
    "label out of range": rebuilt(nothing, labels=TENSORS["labels"] + 1),
    "negative label": rebuilt(nothing, labels=TENSORS["labels"] - 1),
    "NaN": rebuilt(nothing, images=torch.full((6, 3, 8, 12), torch.nan)),
    "infinite": rebuilt(nothing, images=TENSORS["images"] / 0),
    "further tensor": rebuilt(nothing, more=torch.zeros(1)),
    "unknown key": rebuilt(lambda m: m.update(surprise=1)),
    "missing key": rebuilt(lambda m: m.pop("classes")),
    "other format": rebuilt(lambda m: m.update(format="other")),
    "factor is text": rebuilt(lambda m: m.update(factor="1")),
    "absurd factor": rebuilt(lambda m: m.update(factor=10**9)),
    "endless factor": rebuilt(lambda m: m.update(factor=10**4200)),
    "endless mean": rebuilt(lambda m: m.update(mean=[0.5] * 10_000)),
    "factor is boolean": rebuilt(lambda m: m.update(factor=True)),
    "NaN mean": rebuilt(lambda m: m.update(mean=[float("nan")] * 3)),
    "NaN facts": rebuilt(lambda m: m.update(facts={"a": float("nan")})),
    "infinite facts": rebuilt(lambda m: m.update(facts={"a": float("inf")})),
    "lone surrogate": rebuilt(lambda m: m.update(method="\ud800")),
    "zero std": rebuilt(lambda m: m.update(std=[0.2, 0.0, 0.3])),
    "infinite std": rebuilt(lambda m: m.update(std=[0.2, float("inf"), 0.3])),
    "grey mean of colours": rebuilt(lambda m: m.update(mean=[0.5], std=[0.5])),
    "two channels": rebuilt(
        lambda m: m.update(mean=[0.5] * 2, std=[0.5] * 2), images=TENSORS["images"][:, :2].contiguous()
    ),
    "targets in version 1": rebuilt(nothing, targets=TARGETS),
    "targets said in version 1": rebuilt(lambda m: m.update(targets=True), targets=TARGETS),
    "version 1 called 2": rebuilt(lambda m: m.update(version=2)),
    "version 2 called 1": rebuilt_2(lambda m: m.update(version=1)),
    "version is a list": rebuilt(lambda m: m.update(version=[2])),
    "2: truncated": GOOD_2[:-100],
    "2: targets that are not there": rebuilt(lambda m: (m.clear(), m.update(metadata_in(GOOD_2)))),
    "2: targets not said": rebuilt_2(lambda m: m.update(targets=False)),
    "2: targets is a number": rebuilt_2(lambda m: m.update(targets=1)),
    "2: double targets": rebuilt_2(nothing, targets=TARGETS.double()),
    "2: half targets": rebuilt_2(nothing, targets=TARGETS.half()),
    "2: flat targets": rebuilt_2(nothing, targets=TARGETS.flatten()),
    "2: too few targets": rebuilt_2(nothing, targets=TARGETS[:5]),
    "2: targets of more classes": rebuilt_2(nothing, targets=torch.full((6, 4), 0.25)),
    "2: negative targets": rebuilt_2(nothing, targets=torch.tensor([[0.7, 0.5, -0.2]] * 6)),
    "2: NaN targets": rebuilt_2(nothing, targets=torch.full((6, 3), torch.nan)),
    "2: infinite targets": rebuilt_2(nothing, targets=torch.full((6, 3), torch.inf)),
    "2: targets that sum to two": rebuilt_2(nothing, targets=TARGETS * 2),
    "2: no sample": rebuilt_2(lambda m: m.pop("sample")),
    "2: sample is text": rebuilt_2(lambda m: m.update(sample="images")),
    "2: unknown kind": rebuilt_2(lambda m: m["sample"].update(kind="smells")),
    "2: kind is a list": rebuilt_2(lambda m: m["sample"].update(kind=["images"])),
    "2: other size": rebuilt_2(lambda m: m["sample"].update(height=12, width=8)),
    "2: absurd size": rebuilt_2(lambda m: m["sample"].update(height=10**9)),
    "2: endless size": rebuilt_2(lambda m: m["sample"].update(height=10**4200)),
    "2: size is text": rebuilt_2(lambda m: m["sample"].update(height="eight")),
    "2: NaN mean": rebuilt_2(lambda m: m["sample"]["normalisation"].update(mean=[float("nan")] * 3)),
    "2: zero std": rebuilt_2(lambda m: m["sample"]["normalisation"].update(std=[0.0] * 3)),
    "2: further key of the sample": rebuilt_2(lambda m: m["sample"].update(depth=3)),
    "2: absurd tiles": rebuilt_2(lambda m: m.update(tiles=10**9)),
    "2: tiles is boolean": rebuilt_2(lambda m: m.update(tiles=True)),
    "2: factor": rebuilt_2(lambda m: m.update(factor=1)),
    "2: further tensor": rebuilt_2(nothing, more=torch.zeros(1)),
}


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "good.safetensors").write_bytes(rebuilt(nothing))
    assert_same(load(tmp_path / "good.safetensors"), make(tiles=1))
    (tmp_path / "good.safetensors").write_bytes(rebuilt_2(nothing))
    assert_same(load(tmp_path / "good.safetensors"), make(tiles=1, targets=TARGETS))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "distilled.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(DistilledSetError) as error:
        load(tmp_path)
    text = str(error.value)
    assert str(tmp_path) in text
    assert "; expected " in text
    assert "; fix: " in text
    assert "\n" not in text
    assert len(text) < 1000


def test_another_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    for version, said in ((3, "3"), ("2", '"2"'), (True, "true")):
        path.write_bytes(rebuilt(lambda m, version=version: m.update(version=version, novelty=1)))
        with pytest.raises(DistilledSetError, match=f"got version {said}; expected version 1 or 2"):
            load(path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DistilledSetError, match=r"got a folder without distilled\.safetensors"):
        load(tmp_path)
    for path in (tmp_path / "nowhere", tmp_path / "no.safetensors"):
        with pytest.raises(DistilledSetError, match="No such file"):
            load(path)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([GOOD, GOOD_2]), st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_read_as_a_valid_set(good: bytes, place: float, value: int) -> None:
    damaged = bytearray(good)
    damaged[int(place * len(good))] = value
    try:
        tensors, metadata = decode(bytes(damaged))
    except DistilledSetError:
        return
    assert (tensors["samples"].dtype, tensors["labels"].dtype) == (torch.float32, torch.int64)
    assert tensors["samples"].ndim == 4
    assert metadata.version == 2
    assert set(tensors) == {"samples", "labels"} | ({"targets"} if good is GOOD_2 else set())
    if good is GOOD_2:
        assert (tensors["targets"].dtype, tensors["targets"].ndim) == (torch.float32, 2)


def test_images_alone_are_written_as_version_1_and_targets_as_version_2() -> None:
    first, second = metadata_in(GOOD), metadata_in(GOOD_2)
    assert (first["version"], first["mean"], first["std"], first["factor"]) == (1, list(MEAN), list(STD), 1)
    assert "sample" not in first
    assert "targets" not in first
    assert (second["version"], second["targets"], second["tiles"]) == (2, True, 1)
    assert modality_in(second["sample"]) == make().sample
    assert sorted(safetensors.torch.load(GOOD)) == ["images", "labels"]
    assert sorted(safetensors.torch.load(GOOD_2)) == ["images", "labels", "targets"]


OLD = sorted([*LEFT.rglob("distilled.safetensors"), *(LEFT / "sets").iterdir()])


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.relative_to(LEFT).as_posix())
def test_what_version_1_wrote_is_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    read = load(path)
    assert read.targets is None
    assert read.to_bytes() == path.read_bytes()
    read.save(tmp_path / "set")
    assert (tmp_path / "set" / "distilled.safetensors").read_bytes() == path.read_bytes()


def test_targets_survive_every_way_out(tmp_path: Path) -> None:
    chosen = make(targets=TARGETS)
    chosen.save(tmp_path / "set")
    assert_same(load(tmp_path / "set"), chosen)
    assert_same(pickle.loads(pickle.dumps(chosen)), chosen)
    assert (
        (tmp_path / "set" / "distilled.safetensors").read_bytes()
        == chosen.to_bytes()
        == load(tmp_path / "set").to_bytes()
    )
    expanded = chosen.expanded()
    assert expanded.targets is not None
    assert torch.equal(expanded.targets, torch.stack([row for row in TARGETS for _ in range(4)]))
    assert chosen.expanded().labels.tolist() == make().expanded().labels.tolist()
    table = chosen.to_huggingface()
    assert table.column_names == ["image", "label", "targets"]
    assert torch.equal(torch.tensor(table["targets"], dtype=torch.float32), expanded.targets)
    assert "targets" not in make().to_huggingface().column_names
    for flags, expected in (((), expanded), (("--expanded",), expanded)):
        asked = ("export", tmp_path / "set", "--format", "npz", "--out", tmp_path / "set.npz", "--force")
        assert run(*asked, *flags).code == 0
        assert expected.targets is not None
        with np.load(tmp_path / "set.npz") as arrays:
            assert arrays["targets"].dtype == np.float32
            assert np.array_equal(arrays["targets"], expected.targets)
            assert np.array_equal(arrays["y"], expected.labels)
    assert "soft targets" in (tmp_path / "set" / "README.md").read_text()


def test_a_set_without_targets_exports_none(tmp_path: Path) -> None:
    make().save(tmp_path / "set")
    assert run("export", tmp_path / "set", "--format", "npz", "--out", tmp_path / "set.npz").code == 0
    with np.load(tmp_path / "set.npz") as arrays:
        assert sorted(arrays) == ["classes", "range", "x", "y"]
    assert "soft targets" not in (tmp_path / "set" / "README.md").read_text()


def test_targets_are_what_a_classifier_is_trained_on() -> None:
    chosen = make(targets=TARGETS)
    training = training_set(chosen)
    assert training.targets is not None
    assert torch.equal(training.targets, TARGETS.repeat_interleave(4, dim=0))
    assert training_set(make()).targets is None
    assert training.digest() != training_set(make()).digest()


def test_rows_may_miss_one_by_what_float32_rounds() -> None:
    numbers = np.random.Generator(np.random.Philox(key=8)).gamma(0.1, size=(6, 3)) + 1e-6
    rounded = torch.from_numpy((numbers / numbers.sum(axis=1, keepdims=True)).astype(np.float32))
    assert make(targets=rounded).targets is not None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"samples": np.zeros((6, 3, 8, 12), np.float32)}, "samples: got a ndarray; expected a torch tensor"),
        ({"labels": [2, 0, 0, 1, 2, 1]}, "labels: got a list; expected a torch tensor"),
        ({"targets": [[1.0, 0.0, 0.0]] * 6}, "targets: got a list; expected a torch tensor"),
        ({"sample": {"kind": "images"}}, "sample: got a dict; expected what a sample is"),
        ({"tiles": 2.0}, "tiles: got 2.0; expected an integer"),
        ({"tiles": True}, "tiles: got True; expected an integer"),
        ({"classes": ("cat", 1, "eel")}, "class names: got .* expected a tuple of text"),
        ({"classes": None}, "class names: got None; expected a tuple of text"),
        ({"augment": ("flip", "twist")}, "augment: got twist; expected operations of images: .*flip"),
    ],
)
def test_a_field_of_another_type_is_refused_in_one_line(change: dict[str, Any], told: str) -> None:
    with pytest.raises(DistilledSetError, match=f"distilled set's {told}"):
        make(**change)


def test_a_set_read_with_an_operation_that_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.safetensors").write_bytes(make().to_bytes().replace(b"crop", b"chop"))
    with pytest.raises(DistilledSetError, match="augment: got chop; expected operations of images"):
        load(tmp_path / "set.safetensors")


def test_the_folder_of_a_run_says_where_its_set_is(tmp_path: Path) -> None:
    make().save(tmp_path / "first" / "distilled")
    with pytest.raises(DistilledSetError, match=r"first, the folder of a run; .*fix: load .*first/distilled"):
        load(tmp_path / "first")
