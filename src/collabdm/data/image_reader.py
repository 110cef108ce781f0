"""Images of a source: digits, a preset of the hub, a folder or an archive of image files, an `.npz` or a `.pt`, a hub
repository."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from collabdm.data.class_names import check_class_names, spelled_as, tell_kept_apart, tell_spelling
from collabdm.data.digits import digits_in
from collabdm.data.flows.facts import flow_facts
from collabdm.data.hub import read_with_datasets
from collabdm.data.image_files import is_archive
from collabdm.data.image_folder import found_images, read_image_files
from collabdm.data.labels import settled_labels
from collabdm.data.npz import read_npz
from collabdm.data.outside import checked_samples
from collabdm.data.presets import PRESETS, Preset, generic_preset, preset_named
from collabdm.data.raw import RawData, RawPart
from collabdm.data.samples import Dataset, Samples
from collabdm.errors import DataError, DataWarning, explain, nearest_name
from collabdm.storage.torch_file import is_torch_file

__all__ = ["read_images"]


def read_images(source: str, splits: Sequence[str]) -> Dataset:
    """Images of a source, as `collabdm.data.loading` says.

    A data set whose name, shape and class names agree with a preset takes it; any other gets
    `generic_preset`, images of flows without augmentation. Labels without declared classes take the
    train part's distinct values, sorted, as classes.

    Raises:
        DataError: unknown, unreadable or unusable data; the message says which.
    """
    raw = _read(source, splits)
    candidate = _agreeing(preset_named(raw.name), raw)
    parts = _samples(source, raw, candidate)
    train, test = (parts.get(split) for split in ("train", "test"))
    known = train if train is not None else parts["test"]
    if train is not None and test is not None and train.shape != test.shape:
        raise DataError(
            explain(
                f"test images of {source}",
                got=f"shape {list(test.shape)}",
                expected=f"{list(train.shape)}, as in the train part",
                fix="bring both parts to one size, and both to grey (1 channel) or both to colour (3)",
            )
        )
    return Dataset(
        name=candidate.name if candidate else raw.name,
        train=known.take([]) if train is None else train,
        test=known.take([]) if test is None else test,
        preset=_preset(raw, candidate, known),
        columns=raw.parts["train"].columns if "train" in raw.parts else {},
        facts=raw.facts,
        reading=_reading(source, raw),
    )


def _reading(source: str, raw: RawData) -> Mapping[str, Any]:
    """What was read and what was not, for the metrics of a run; what was not is told in a `DataWarning`."""
    read = {split: len(part.labels) for split, part in raw.parts.items()}
    if raw.passed:
        counts = ", ".join(f"{number} {split}" for split, number in read.items())
        left = ", ".join(f"{number} x {what}" for what, number in raw.passed.items())
        warnings.warn(DataWarning(f"{source}: read {counts} images; passed over {left}"), stacklevel=4)
    return {"read": read, "passed_over": dict(raw.passed)}


def _read(source: str, splits: Sequence[str]) -> RawData:
    if source == "digits":
        return _read_digits(splits)
    if source in PRESETS:
        preset = PRESETS[source]
        return read_with_datasets(str(preset.hub), splits, name=preset.name, hint=preset, config=preset.hub_config)
    path = Path(source).expanduser()
    if path.is_dir() or (path.is_file() and is_archive(path.name)):
        name = path.resolve().name.split(".")[0] if path.is_file() else path.resolve().name
        images = _images_of_set(path)
        found = found_images(images)
        if found is not None:
            return replace(read_image_files(images, found, splits, name=name), facts=_flows(path))
        hint = preset_named(name)
        config = hint.hub_config if hint else None
        return replace(read_with_datasets(str(path), splits, name=name, hint=hint, config=config), facts=_flows(path))
    if path.is_file() and (path.suffix == ".npz" or is_torch_file(path)):
        return read_npz(path, splits)
    repository, _, config = source.partition(":")
    on_hub = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", repository) and path.suffix != ".npz"
    if not path.exists() and on_hub and (config or repository == source):
        hint = next((preset for preset in PRESETS.values() if preset.hub == repository), None)
        config = config or (hint.hub_config if hint else None)
        return read_with_datasets(repository, splits, name=repository.split("/")[1], hint=hint, config=config)
    near = None if path.exists() else nearest_name(source, PRESETS)
    raise DataError(
        explain(
            f"data set {source}",
            got="a file of another kind" if path.exists() else "no such file, folder or preset",
            expected=f"{', '.join(PRESETS)}, a folder, an .npz, a .pt, a set's .safetensors, a .zip or .tar of images,"
            " or a hub repository"
            " owner/name[:config]",
            fix=f"did you mean {near}?" if near else "check the name or the path",
        )
    )


def _images_of_set(path: Path) -> Path:
    """Where the images of a distilled set's folder are, which its card declares for other programs; any other path as
    it is."""
    images = path / "images"
    return images if (path / "distilled.safetensors").is_file() and images.is_dir() else path


def _flows(path: Path) -> Mapping[str, Any]:
    return flow_facts(path) if path.is_dir() else {}


def _read_digits(splits: Sequence[str]) -> RawData:
    """Scikit-learn's digits (`collabdm.data.digits`), 16 grey levels as 0..255."""
    parts = {}
    for split in splits:
        values, labels = digits_in(split)
        parts[split] = RawPart(images=np.rint(values * (255 / 16)).astype(np.uint8)[:, None], labels=labels)
    return RawData(name="digits", classes=PRESETS["digits"].classes, parts=parts)


def _agreeing(preset: Preset | None, raw: RawData) -> Preset | None:
    """The preset, if every image has its shape and every class (declared, or held) is one of its classes."""
    if preset is None or any(part.images.shape[1:] != preset.shape for part in raw.parts.values()):
        return None
    if raw.classes is not None:
        return preset if not preset.classes or set(raw.classes) <= set(preset.classes) else None
    if not preset.classes:
        return None
    labels = np.concatenate([settled_labels("labels", part.labels) for part in raw.parts.values()])
    if labels.dtype.kind == "U":
        return preset if set(labels.tolist()) <= set(preset.classes) else None
    return preset if len(labels) and labels.min() >= 0 and labels.max() < len(preset.classes) else None


def _preset(raw: RawData, candidate: Preset | None, known: Samples) -> Preset:
    if candidate:
        return replace(candidate, classes=known.classes)
    preset = generic_preset(raw.name, known.shape, known.classes)
    # In an image of flows a pixel's place is its column: turned or shifted, it says another thing (docs/flows.md).
    return replace(preset, augment=()) if "flows" in raw.facts else preset


def _samples(source: str, raw: RawData, candidate: Preset | None) -> dict[str, Samples]:
    named = {split: f"{source} ({split})" for split in raw.parts}
    values = {split: settled_labels(named[split], part.labels) for split, part in raw.parts.items()}
    classes, lookup = raw.classes, None
    if classes is None:
        classes, lookup = _classes(next(iter(values.values())), candidate)
    check_class_names(source, classes)
    by_name = {name: index for index, name in enumerate(classes)}

    def positions(split: str) -> np.ndarray:
        own = values[split]
        return _positions(named[split], own, by_name if own.dtype.kind == "U" else lookup)

    found = {
        split: checked_samples(part.images, positions(split), classes, source=named[split], any_range=part.any_range)
        for split, part in raw.parts.items()
    }
    known = next(iter(found.values()))
    tell_kept_apart(source, dict(zip(classes, known.counts().tolist(), strict=True)))
    return found


def _classes(values: np.ndarray, candidate: Preset | None) -> tuple[tuple[str, ...], dict[object, int]]:
    """(class names, label value -> class) of labels that declare no classes; text is found by name anyway."""
    if candidate is None:
        found = np.unique(values).tolist()
        return tuple(str(value) for value in found), {value: index for index, value in enumerate(found)}
    keys = candidate.classes if values.dtype.kind == "U" else range(len(candidate.classes))
    return candidate.classes, {key: index for index, key in enumerate(keys)}


def _positions(source: str, values: np.ndarray, lookup: Mapping[Any, int] | None) -> np.ndarray:
    """Labels as positions among the classes, which they are already where there is no `lookup`."""
    if lookup is None:
        return values
    listed = values.tolist()
    meant: dict[str, str] = {}
    if values.dtype.kind == "U":
        meant = spelled_as(listed, [str(name) for name in lookup])
        tell_spelling(source, meant)
    unknown = next((row for row, value in enumerate(listed) if value not in lookup and value not in meant), None)
    if unknown is not None:
        names = ", ".join(map(str, list(lookup)[:12])) + (", ..." if len(lookup) > 12 else "")
        raise DataError(
            explain(
                f"label of {source}, row {unknown}",
                got=listed[unknown],
                expected=f"one of the {len(lookup)} classes of the train part ({names})",
                fix="correct the label, or declare all classes (in an .npz: a text array `classes`)",
            )
        )
    return np.array([lookup[meant.get(value, value)] for value in listed], dtype=np.int64)
