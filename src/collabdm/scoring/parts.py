"""Which array of a file is what: images, labels, soft labels, by the names and shapes that people give them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from collabdm.distilled.exporting import DESCRIPTION
from collabdm.errors import DataError, explain
from collabdm.images.modality import Images
from collabdm.modalities import modality_in
from collabdm.storage.reading import strict_json

__all__ = ["Parts", "label_parts", "parts_of"]

_IMAGES = {"x", "image", "images", "img", "imgs", "data", "pixels", "samples", "inputs", "features"}
_LABELS = {"y", "label", "labels", "lab", "labs", "target", "targets", "class", "ys"}
_SOFT = {"soft", "softlabel", "softlabels", "softtargets", "logits", "logit", "probs", "probabilities"}
_CLASSES = {"classes", "classnames"}
# What makes another name of none of these: `syn_images`, `image_syn`, `images_best`, `x_train`.
_BESIDE = {"syn", "synset", "synthetic", "distilled", "condensed", "best", "final", "train", "training", "hard", "all"}
_OTHER_PARTS = {"test", "testing", "val", "valid", "validation", "eval"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """As found: `images`, `labels` [n] or one-hot [n, classes], `soft` [n, classes] (probabilities or logits), and the
    `range`, the names of `classes` and what images are (`made`) where a file says so. `notes`: what was chosen and what
    was left, for people."""

    images: np.ndarray | None = None
    labels: np.ndarray | None = None
    soft: np.ndarray | None = None
    range: np.ndarray | None = None
    classes: np.ndarray | None = None
    made: Images | None = None
    notes: tuple[str, ...] = ()


def parts_of(source: str, tree: Any) -> Parts:
    """The parts of what a file holds: arrays in dictionaries and lists, as `torch_file.tree_in` gives them.

    A dictionary tells by its names, a list by the shapes of what is in it; of several sets (one for each trial) the
    first is taken, and that is noted.

    Raises:
        DataError: no images in it, or two arrays for one part.
    """
    if isinstance(tree, np.ndarray):
        return Parts(images=tree)
    if isinstance(tree, dict):
        return _named(source, tree)
    if isinstance(tree, list) and tree:
        return _listed(source, tree)
    raise _nothing(source, "neither tensors nor arrays")


def label_parts(source: str, tree: Any) -> Parts:
    """The labels in a file of its own: an array alone is theirs, whatever its name."""
    if isinstance(tree, dict):
        arrays = {name: value for name, value in tree.items() if isinstance(value, np.ndarray)}
        tree = next(iter(arrays.values())) if len(arrays) == 1 else tree
    if isinstance(tree, np.ndarray):
        return _as_labels(Parts(), tree)
    found = _named(source, tree, images=False) if isinstance(tree, dict) else Parts()
    if found.labels is None and found.soft is None:
        got, fix = "no array of labels", "store one array, [n] of classes or [n, classes] of soft labels"
        raise DataError(explain(f"labels in {source}", got=got, expected="one array", fix=fix))
    return found


def _named(source: str, tree: Mapping[str, Any], *, images: bool = True) -> Parts:
    if tree and images and all(re.fullmatch(r"arr_\d+", str(name)) for name in tree):
        # What numpy.savez calls arrays that were given without names.
        return _listed(source, list(tree.values()))
    found: dict[str, tuple[str, Any]] = {}
    left = []
    made = None
    for name, value in tree.items():
        part = _part(name, value)
        if name == DESCRIPTION and (made := _made(value)) is not None:
            continue
        if part is None:
            left.append(name)
        elif part in found:
            got, fix = f"{found[part][0]} and {name}", "keep one of them in the file"
            raise DataError(explain(f"{part} in {source}", got=got, expected="one array", fix=fix))
        else:
            found[part] = name, value
    inner = found.get("images")
    if images and inner is None:
        raise _nothing(source, ", ".join(map(str, tree)) or "an empty dictionary")
    # Where the images are no array, they are a list: of images, or of sets.
    own = Parts() if inner is None or not images else parts_of(source, inner[1])
    for part in ("labels", "soft", "range", "classes"):
        if part in found:
            own = replace(own, **{part: _stacked(found[part][1])})
    notes = [f"left unread: {', '.join(left[:12])}"] if left and images else []
    return replace(own, made=made, notes=(*own.notes, *notes))


def _made(value: Any) -> Images | None:
    """The description that `export` writes beside images; None for anything else of that name."""
    try:
        found = modality_in(strict_json(value)) if isinstance(value, str) else None
    except (ValidationError, ValueError, RecursionError):
        return None
    return found if isinstance(found, Images) else None


def _part(name: str, value: Any) -> str | None:
    """Of which part a name is; None for what is no array, or none of these."""
    if not isinstance(value, np.ndarray | list):
        return None
    words = [word for word in re.split(r"[^a-z]+", str(name).lower()) if word]
    if set(words) & _OTHER_PARTS:
        return None
    rest = [word for word in words if word not in _BESIDE]
    joined = "".join(rest)
    if joined in _CLASSES:
        return "classes"
    if joined == "range":
        return "range"
    if joined in _SOFT or (rest and rest[0] == "soft"):
        return "soft"
    if joined in _LABELS or (rest and rest[-1] in _LABELS):
        return "soft" if isinstance(value, np.ndarray) and _soft(value) else "labels"
    return "images" if joined in _IMAGES or (rest and rest[-1] in _IMAGES) else None


def _listed(source: str, tree: Sequence[Any]) -> Parts:
    if all(isinstance(one, list | dict) for one in tree):
        first = parts_of(source, tree[0])
        told = (f"{len(tree)} sets in it, of which the first is scored",) if len(tree) > 1 else ()
        return replace(first, notes=(*told, *first.notes))
    arrays = [one for one in tree if isinstance(one, np.ndarray)]
    shapes = {one.shape for one in arrays}
    if len(arrays) == len(tree) and len(shapes) == 1 and arrays[0].ndim in (2, 3):
        return Parts(images=np.stack(arrays))
    found = Parts()
    for one in arrays:
        if one.ndim > 2 and found.images is None:
            found = replace(found, images=one)
        elif one.ndim > 2:
            got, fix = f"arrays {', '.join(str(list(a.shape)) for a in arrays[:6])}", "keep one array of images"
            raise DataError(explain(f"images in {source}", got=got, expected="one array of images", fix=fix))
        elif one.ndim in (1, 2):
            found = _as_labels(found, one)
    left = len(tree) - len(arrays)
    if found.images is None:
        raise _nothing(source, ", ".join(str(list(a.shape)) for a in arrays[:6]) or "a list without arrays")
    return replace(found, notes=(f"{left} values that are no arrays are left unread",) if left else ())


def _as_labels(parts: Parts, array: np.ndarray) -> Parts:
    return replace(parts, soft=array) if _soft(array) else replace(parts, labels=array)


def _soft(array: np.ndarray) -> bool:
    """Whether rows say more than one class each: they are several numbers, and not a single 1."""
    if array.ndim != 2 or array.shape[1] == 1 or array.dtype.kind not in "biuf":
        return False
    return not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _stacked(value: Any) -> Any:
    """A list of arrays, or of numbers and text, as one array."""
    if isinstance(value, np.ndarray):
        return value
    shapes = {np.shape(one) for one in value} if all(not isinstance(one, list | dict) for one in value) else set()
    return np.stack([np.asarray(one) for one in value]) if len(shapes) == 1 else np.empty(0)


def _nothing(source: str, got: str) -> DataError:
    expected = "an array of images, alone or by a name such as images, syn_images, x or data"
    fix = "store images [n, C, H, W] and labels [n] under these names"
    return DataError(explain(f"set {source}", got=got, expected=expected, fix=fix))
