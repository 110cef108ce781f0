"""Which columns of a table hold the images and the labels."""

from collections.abc import Iterable
from typing import Any

from collabdm.data.presets import Preset
from collabdm.errors import DataError, explain

__all__ = ["image_column", "label_column", "label_named"]

_LABEL_NAMES = ("label", "labels", "class", "target", "y")
_IMAGE_NAMES = (("image", "images"), ("img", "imgs", "picture", "photo", "pixels"))


def image_column(source: str, features: Any, hint: Preset | None) -> str:
    """The hint's, else the only column of images, else of several the one called `image` (or `images`, `img`).

    Raises:
        DataError: none, or several and none so called.
    """
    import datasets

    def encoded(feature: Any) -> bool:
        if isinstance(feature, dict):
            return "bytes" in feature and set(feature) <= {"bytes", "path"}
        return getattr(feature, "dtype", None) in ("binary", "large_binary")

    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    images = images or [name for name, feature in features.items() if encoded(feature)]
    for known in _IMAGE_NAMES:
        called = [name for name in images if name.lower() in known]
        if len(called) == 1:
            images = images if hint and hint.image_column in images else called
            break
    return _only(source, "image", images, hint.image_column if hint else None, features)


def label_column(source: str, features: Any, hint: Preset | None) -> str:
    """The hint's, else the one called label or labels, else the only class label (or one called class, target or y).

    Raises:
        DataError: none, or several that could be.
    """
    import datasets

    labels = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    called = [name for name in features if name.lower() in _LABEL_NAMES[:2]]
    if len(called) == 1:
        labels = called
    elif len(labels) != 1:
        by_name = [name for name in features if name.lower() in _LABEL_NAMES and (not labels or name in labels)]
        labels = by_name or labels
    return _only(source, "label", labels, hint.label_column if hint else None, features)


def label_named(names: Iterable[str], *, certain: bool) -> str | None:
    """Of bare names the one of labels: `label` or `labels`; other words too unless `certain`."""
    names = list(names)
    for known in (_LABEL_NAMES[:2],) if certain else (_LABEL_NAMES[:2], _LABEL_NAMES):
        called = [name for name in names if name.lower() in known]
        if len(called) == 1:
            return called[0]
    return None


def _only(source: str, what: str, candidates: list[str], preferred: str | None, features: Any) -> str:
    if preferred in candidates:
        return preferred
    if len(candidates) == 1:
        return candidates[0]
    raise DataError(
        explain(
            f"columns of {source}",
            got=", ".join(features),
            expected=f"exactly one {what} column (found {', '.join(candidates) or 'none'})",
            fix=f"call the one to use `{what}` (of a hub data set: load_dataset(...).rename_column(...)"
            ".save_to_disk(FOLDER), and give that folder)",
        )
    )
