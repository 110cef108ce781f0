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
from torch.utils.data import DataLoader

from collabdm.distilled.set import DistilledSet, load
from collabdm.errors import DistilledSetError
from collabdm.images.partition_expand import expand

CLASSES = ("cat", "dog", "eel")


def make(**changes: Any) -> DistilledSet:
    numbers = np.random.Generator(np.random.Philox(key=7))
    fields: dict[str, Any] = {
        "images": torch.from_numpy(numbers.normal(size=(6, 3, 8, 12)).astype(np.float32)),
        "labels": torch.tensor([2, 0, 0, 1, 2, 1]),
        "classes": CLASSES,
        "mean": (0.4, 0.5, 0.6),
        "std": (0.2, 0.25, 0.3),
        "factor": 2,
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
    assert torch.equal(a.images.view(torch.int32), b.images.view(torch.int32))  # to the bit, signed zeros too
    assert torch.equal(a.labels, b.labels)
    for name in ("classes", "mean", "std", "factor", "augment", "method", "facts"):
        assert getattr(a, name) == getattr(b, name), name


def test_save_and_load_are_exact(tmp_path: Path) -> None:
    original = make(images=torch.tensor([0.0, -0.0, 1e-40, 3.4e38]).repeat(6, 3, 8, 3))
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
    assert torch.equal(image, chosen.images[3])
    assert (label, type(label), len(chosen)) == (1, int, 6)
    images, labels = zip(*DataLoader(chosen, batch_size=4), strict=True)
    assert torch.equal(torch.cat(images), chosen.images)
    assert torch.equal(torch.cat(labels), chosen.labels)
    assert chosen.counts().tolist() == [2, 2, 2]
    assert_same(pickle.loads(pickle.dumps(chosen)), chosen)  # DataLoader workers may need to pickle it


def test_expanded() -> None:
    chosen = make()
    expanded = chosen.expanded()
    assert (len(expanded), expanded.factor, expanded.images.shape[1:]) == (24, 1, (3, 8, 12))
    assert torch.equal(expanded.images, expand(chosen.images, 2))
    assert expanded.labels.tolist() == [label for label in chosen.labels.tolist() for _ in range(4)]
    assert_same(expanded.expanded(), expanded)


def test_pixels_undo_the_normalisation() -> None:
    pixels = np.random.Generator(np.random.Philox(key=3)).integers(0, 256, size=(2, 3, 4, 4))
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7])
    normalised = (pixels / 255 - mean[:, None, None]) / std[:, None, None]
    chosen = make(
        images=torch.from_numpy(normalised.astype(np.float32)),
        labels=torch.tensor([0, 1]),
        factor=1,
        mean=tuple(mean),
        std=tuple(std),
    )
    np.testing.assert_allclose(chosen.pixels(), pixels / 255, atol=1e-6)
    np.testing.assert_array_equal(chosen.eight_bit(), pixels)
    outside = replace(chosen, images=torch.full((2, 3, 4, 4), 9.0))
    assert outside.pixels().max() > 1
    assert (outside.eight_bit() == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_huggingface(channels: int) -> None:
    chosen = make(images=make().images[:, :channels], mean=(0.5,) * channels, std=(0.25,) * channels)
    table = chosen.to_huggingface()
    assert table.features["label"].names == list(CLASSES)
    assert table["label"] == chosen.labels.tolist()
    read = np.stack([np.asarray(row["image"]).reshape(8, 12, channels) for row in list[Any](table)])
    clipped = chosen.pixels().clamp(0, 1).permute(0, 2, 3, 1)
    assert np.abs(read / 255 - clipped.numpy()).max() <= 0.5 / 255 + 1e-6


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
    order = np.argsort(labels, kind="stable")  # folders in order of labels, files in order of indices
    assert [present[label] for label, _ in rows] == [labels[i] for i in order]
    pixels = chosen.pixels().clamp(0, 1).permute(0, 2, 3, 1).numpy()[order]
    assert np.abs(np.stack([image for _, image in rows]) / 255 - pixels).max() <= 1 / 255


def test_a_saved_folder_is_a_hub_data_set(tmp_path: Path) -> None:
    make().save(tmp_path / "set")
    names, rows = read_back(tmp_path / "cache", str(tmp_path / "set"))
    assert names == list(CLASSES)
    assert sorted(label for label, _ in rows) == [0, 0, 1, 1, 2, 2]  # the preview is not among them


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

    monkeypatch.setattr("collabdm.distilled.set.write_images", full)
    with pytest.raises(DistilledSetError, match="No space left"):
        make(method="other").save(tmp_path / "set", overwrite=True)
    assert os.listdir(tmp_path) == ["set"]
    assert load(tmp_path / "set").method == "collabdm-pae"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(6, 3, 8, 12, dtype=torch.float64)}, "images: got torch.float64"),
        ({"images": torch.zeros(6, 8, 12)}, "images: got"),
        ({"images": torch.zeros(6, 2, 8, 12)}, "images: got"),
        ({"images": torch.full((6, 3, 8, 12), torch.nan)}, "NaN or infinite"),
        ({"images": torch.zeros(0, 3, 8, 12), "labels": torch.zeros(0, dtype=torch.int64)}, "images: got"),
        ({"labels": torch.zeros(6)}, "labels: got torch.float32"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, "labels: got"),
        ({"labels": torch.tensor([0, 1, 2, 3, 0, 0])}, "labels: got 0 to 3; expected 0 to 2"),
        ({"labels": torch.tensor([0, 1, 2, -1, 0, 0])}, "labels: got -1 to 2"),
        ({"classes": ("a", "a", "b")}, "distinct names"),
        ({"mean": (0.5,)}, "mean: got"),
        ({"std": (0.5, 0.0, 0.5)}, "std: got"),
        ({"std": (0.5, float("inf"), 0.5)}, "std: got"),
        ({"mean": (0.5, float("nan"), 0.5)}, "mean: got"),
        ({"factor": 3}, "factor: got 3; expected 1 to 2"),
        ({"factor": 0}, "factor: got 0"),
        ({"method": 3}, "method: got 3"),
        ({"facts": {"loss": float("nan")}}, "facts: got"),
        ({"facts": {"loss": np.float32(1)}}, "facts: got"),
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


GOOD = make(factor=1).to_bytes()


def rebuilt(change: Callable[[dict[str, Any]], None], **tensors: torch.Tensor) -> bytes:
    """The good file with its metadata changed and tensors added or replaced."""
    length = struct.unpack("<Q", GOOD[:8])[0]
    metadata = json.loads(json.loads(GOOD[8 : 8 + length])["__metadata__"]["collabdm"])
    change(metadata)
    return safetensors.torch.save(safetensors.torch.load(GOOD) | tensors, {"collabdm": json.dumps(metadata)})


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
}


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "good.safetensors").write_bytes(rebuilt(nothing))
    assert_same(load(tmp_path / "good.safetensors"), make(factor=1))


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
    path.write_bytes(rebuilt(lambda m: m.update(version=2, novelty=1)))
    with pytest.raises(DistilledSetError, match="got version 2; expected version 1"):
        load(path)


def test_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "no.safetensors"):
        with pytest.raises(DistilledSetError, match="No such file"):
            load(path)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_read_as_a_valid_set(position: int, value: int) -> None:
    from collabdm.distilled.format import decode

    damaged = bytearray(GOOD)
    damaged[position] = value
    try:
        images, labels, metadata = decode(bytes(damaged))
    except DistilledSetError:
        return
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.ndim == 4
    assert metadata.version == 1
