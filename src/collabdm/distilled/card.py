"""The README.md inside a distilled set: a Hugging Face dataset card, for a person and for the hub."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from collabdm.distilled.format import Metadata
from collabdm.storage.tensor_file import canonical

__all__ = ["write_card"]

_LONGEST_FACT = 300


def write_card(metadata: Metadata, counts: Sequence[int], shape: tuple[int, int, int], folders: Sequence[str]) -> str:
    """Markdown with YAML front matter; `counts` and `folders` per class, `shape` (C, H, W) of an image."""
    title = f"{_title_of(metadata.facts)}, distilled with {metadata.method}"
    sections = [
        _front_matter(title, sum(counts)),
        f"# {_plain(title)}\n\n{_summary(metadata, counts, shape)}",
        "![Preview: a row for each class](preview.png)",
        _classes(metadata, counts, folders),
        _loading(metadata),
        _expansion(metadata),
        _facts(metadata),
        _intended_use(metadata),
        _privacy(metadata),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _title_of(facts: Mapping[str, JsonValue]) -> str:
    name = facts.get("dataset")
    return name if isinstance(name, str) and name else "A small training set"


def _front_matter(title: str, total: int) -> str:
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    size = next((name for bound, name in bounds if total < bound), "1M<n<10M")
    return "\n".join(
        [
            "---",
            f"pretty_name: {json.dumps(title)}",
            "task_categories:",
            "- image-classification",
            "tags:",
            "- collabdm",
            "- dataset-distillation",
            "- synthetic",
            "size_categories:",
            f"- {size}",
            "configs:",
            "- config_name: default",
            "  drop_labels: false",
            "  data_files:",
            "  - split: train",
            '    path: "images/**"',
            "---",
        ]
    )


def _summary(metadata: Metadata, counts: Sequence[int], shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    per_class = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    colour = "grey" if channels == 1 else "RGB"
    tiles = metadata.factor**2
    acts = f", which expand to {tiles * sum(counts)} training samples" if tiles > 1 else ""
    return (
        f"{sum(counts)} images ({height}x{width}, {colour}) that stand in for a whole data set when "
        f"training an image classifier: {len(counts)} classes, {per_class} images per class{acts}. Made "
        "with CollabDM, collaborative data distillation in one round."
    )


def _classes(metadata: Metadata, counts: Sequence[int], folders: Sequence[str]) -> str:
    rows = [
        f"| {label} | {_plain(name)} | {count} | `images/{folder}/` |"
        for label, (name, count, folder) in enumerate(zip(metadata.classes, counts, folders, strict=True))
    ]
    return "\n".join(["## Classes", "", "| Label | Class | Images | Folder |", "| --- | --- | --- | --- |", *rows])


def _loading(metadata: Metadata) -> str:
    expanded = ".expanded()" if metadata.factor > 1 else ""
    return f"""## How to load

`distilled.safetensors` is the canonical file: exact float32 pixels, normalised as (pixel / 255 - mean) / std.
The PNG files are the same images clipped and rounded to 8 bits.

```python
import collabdm
train = collabdm.load("path/to/this/folder"){expanded}  # a torch Dataset of (float32 [C, H, W], label)

import datasets
images = datasets.load_dataset("path/to/this/folder", split="train")  # the PNG files
images = datasets.load_dataset("imagefolder", data_dir="path/to/this/folder/images", split="train")

from safetensors.torch import load_file
tensors = load_file("path/to/this/folder/distilled.safetensors")  # "images" and "labels"
```"""


def _expansion(metadata: Metadata) -> str:
    factor = metadata.factor
    if factor == 1:
        return "## Partition and expand\n\nNot used (factor 1): every stored image is one training sample."
    return (
        "## Partition and expand\n\n"
        f"Factor {factor}: every stored image is a grid of {factor} x {factor} tiles. Before training, cut"
        f" each image into its tiles (edges at round(i * side / {factor}), halves up) and resize each tile"
        " to the full side, bilinearly without aligned corners or antialiasing; `.expanded()` does this. "
        "The PNG files hold the grids: a network trained on them as they are sees images unlike any real "
        "one."
    )


def _facts(metadata: Metadata) -> str:
    fixed: dict[str, JsonValue] = {
        "method": metadata.method,
        "augmentation": ", ".join(metadata.augment) or "none",
        "mean": list(metadata.mean),
        "std": list(metadata.std),
    }
    rows = [f"| {_plain(name)} | {_value(value)} |" for name, value in (fixed | metadata.facts).items()]
    return "\n".join(["## How it was made", "", "| Fact | Value |", "| --- | --- |", *rows])


def _intended_use(metadata: Metadata) -> str:
    augment = ", ".join(metadata.augment) or "no operation"
    return (
        "## Intended use\n\n"
        "Training and comparing image classifiers quickly, and sharing what a classifier can learn from "
        "data that stays where it is. Train with the augmentation that the set was matched under "
        f"({augment}). It is not meant for judging a model (test on real data), for generating images, or "
        "for any decision about a person whose data may stand behind it. A distilled set carries over the"
        " biases of its source."
    )


def _privacy(metadata: Metadata) -> str:
    init = metadata.facts.get("init")
    if metadata.method.startswith("random-real"):
        origin = (
            "**This set consists of real images**, copied or shrunk from the source data. "
            "Share it only where you may share those."
        )
    elif init == "real":
        origin = (
            "**The images were initialised from real images, and carry them:** people, places or text in the "
            "source can be recognisable. Share this set only where you may share those images."
        )
    elif init == "noise":
        origin = "The images were initialised from noise; no real image was copied into them."
    else:
        origin = "How the images were initialised is not recorded: assume that they carry real images."
    return (
        f"## Privacy\n\n{origin}\n\n"
        f"{_statistics(metadata)}Unless the facts above say so, there is "
        "**no differential-privacy guarantee**."
    )


def _statistics(metadata: Metadata) -> str:
    if metadata.method.startswith("random-real"):
        return ""
    return (
        "The set was fitted to statistics of real data (embeddings under random networks, averaged over "
        "samples), which can reveal something about that data, most of all where a class has few samples. "
    )


def _value(value: JsonValue) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return _plain(text if len(text) <= _LONGEST_FACT else text[: _LONGEST_FACT - 1] + "…")


def _plain(text: str) -> str:
    """Text that is only text in Markdown: one line, no markup, no table break."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(f"\\{c}" if c in r"\`*_[]<>|#" else c for c in line)
