"""Images as PNG files, one folder a class, in the layout that `datasets.load_dataset("imagefolder")` reads.

That loader numbers the classes by the sorted names of the folders it finds, and takes folders whose name
holds a word such as `train` or `test` for splits. So a folder is named after its class made file-safe (and
`+` put after such a word), and where sorting those names would not give back the label numbers, every folder
gets its label in front: `03-cat`.
"""

import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from collabdm.data.stated_range import KEY, ORDINARY, StatedRange

__all__ = ["class_folders", "image_of", "png_of", "write_images"]

_LONGEST_NAME = 48
_SPLIT_WORDS = "train|training|validation|valid|dev|val|test|testing|eval|evaluation"
_RESERVED = re.compile(rf"(?i)(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)|(?<![^-._ 0-9])({_SPLIT_WORDS})(?![^-._ 0-9])")


def class_folders(classes: Sequence[str], counts: Sequence[int]) -> tuple[str, ...]:
    """One distinct, file-safe folder name per class; sorted, the names are in the order of the labels.

    `counts` is the number of images per class: a class without any leaves no folder to be counted, so the
    labels are then written out as well.
    """
    names = [_file_safe(name) for name in classes]
    folded = [name.casefold() for name in names]
    if all(counts) and names == sorted(names) and len(set(folded)) == len(names):
        return tuple(names)
    digits = max(len(str(len(names) - 1)), 2)
    return tuple(f"{label:0{digits}d}-{name}" for label, name in enumerate(names))


def write_images(
    path: Path, levels: np.ndarray, labels: np.ndarray, classes: Sequence[str], stated: StatedRange
) -> None:
    """Write uint8 [n, C, H, W] images to `path/<class>/<index>.png`, indices running over the whole set; each file
    states the range that its levels have."""
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    folders = class_folders(classes, counts)
    digits = max(len(str(len(labels) - 1)), 5)
    for index, (image, label) in enumerate(zip(levels, labels, strict=True)):
        file = path / folders[label] / f"{index:0{digits}d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png_of(image_of(image), stated))


def image_of(pixels: np.ndarray) -> Image.Image:
    """A Pillow image of uint8 [C, H, W] with one channel (grey) or three (RGB)."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def png_of(image: Image.Image, stated: StatedRange = ORDINARY) -> bytes:
    """The image as PNG bytes, which state the range of its levels where it is not that of any image."""
    told = PngInfo()
    if not stated.ordinary:
        told.add_text(KEY, stated.text())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=told)
    return buffer.getvalue()


def _file_safe(name: str) -> str:
    plain = re.sub(r"[^\w.+-]+", "_", unicodedata.normalize("NFC", name))[:_LONGEST_NAME].strip("._")
    return _RESERVED.sub(lambda match: match.group() + "+", plain) or "class"
