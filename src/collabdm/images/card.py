"""What the card of a distilled set says where its samples are images."""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.data.stated_range import KEY, StatedRange
from collabdm.errors import markdown_text
from collabdm.images.image_folder import class_folders
from collabdm.modality import CardText

__all__ = ["card_text"]

# `{digest}` is filled in by the card's writer: `datasets` caches a configuration by its name and its folder's name, so
# two sets in folders of one name would be taken for each other if the name did not tell them apart.
_DATA_FILES = """configs:
- config_name: set-{digest}
  drop_labels: false
  data_files:
  - split: train
    path: "images/**"
"""


def card_text(
    classes: Sequence[str],
    counts: Sequence[int],
    described: str,
    tiles: int,
    constants: Mapping[str, Any],
    stated: StatedRange,
) -> CardText:
    """`counts`: stored images per class; `described`: their size and colour; `constants`: of the normalisation;
    `stated`: the range of the 8-bit files."""
    per_class = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    noun = "image" if per_class == "1" else "images"
    acts = f", which expand to {tiles**2 * sum(counts)} training samples" if tiles > 1 else ""
    return CardText(
        task="image-classification",
        summary=(
            f"{sum(counts)} images ({described}) that stand in for a whole data set when "
            f"training an image classifier: {len(counts)} classes, {per_class} {noun} per class{acts}."
        ),
        classes=_classes(classes, counts),
        loading=_loading(tiles, stated),
        expansion=_expansion(tiles),
        preview="![Preview: a row for each class](preview.png)",
        data_files=_DATA_FILES,
        facts={**constants, "range": [list(stated.low), list(stated.high)]},
    )


def _classes(classes: Sequence[str], counts: Sequence[int]) -> str:
    folders = class_folders(classes, counts)
    rows = [
        f"| {label} | {markdown_text(name)} | {count} | `images/{folder}/` |"
        for label, (name, count, folder) in enumerate(zip(classes, counts, folders, strict=True))
    ]
    return "\n".join(["| Label | Class | Images | Folder |", "| --- | --- | --- | --- |", *rows])


def _loading(tiles: int, stated: StatedRange) -> str:
    expanded = ".expanded()" if tiles > 1 else ""
    return f"""`distilled.safetensors` is the canonical file: exact float32 pixels, normalised as
(pixel - mean) / std, where black is 0 and white 1. {_files(tiles, stated)}

```python
import collabdm
train = collabdm.load("path/to/this/folder"){expanded}  # a torch Dataset of (float32 [C, H, W], label)

import datasets
images = datasets.load_dataset("path/to/this/folder", split="train")  # the PNG files
images = datasets.load_dataset("imagefolder", data_dir="path/to/this/folder/images", split="train")

from safetensors.torch import load_file
tensors = load_file("path/to/this/folder/distilled.safetensors")  # "images" and "labels"
```"""


def _files(tiles: int, stated: StatedRange) -> str:
    """What the PNG files are."""
    images = "The PNG files are the training images that they expand to" if tiles > 1 else "The PNG files are these"
    if stated.ordinary:
        return f"{images}, rounded to 8 bits."
    low, high = ("[" + ", ".join(f"{value:.4g}" for value in side) + "]" for side in (stated.low, stated.high))
    return (
        f"{images}, rounded to 8 bits in a range of their own: distilled pixels go beyond black (0) and white (1). "
        f"Level v of a channel is the pixel low + v / 255 * (high - low), with low = {low} and high = {high}; each "
        f"file says so in its text `{KEY}`. CollabDM applies it to files that are given as a data set; other programs "
        "show the same images at less contrast, and should apply it before they train."
    )


def _expansion(tiles: int) -> str:
    if tiles == 1:
        return "Not used: every stored image is one training sample."
    return (
        f"Every stored image is a grid of {tiles} x {tiles} tiles. Before training, cut"
        f" each image into its tiles (edges at round(i * side / {tiles}), halves up) and resize each tile"
        " to the full side, bilinearly without aligned corners or antialiasing; `.expanded()` does this. "
        "The PNG files hold what that gives."
    )
