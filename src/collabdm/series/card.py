"""What the card of a distilled set says where its samples are series."""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.errors import markdown_text
from collabdm.modality import CardText

__all__ = ["card_text"]

_DATA_FILES = """configs:
- config_name: set-{digest}
  data_files:
  - split: train
    path: "series/train.parquet"
"""

_SCALED = {
    "sample": "standardised by its own mean and spread over all channels",
    "channel": "standardised channel by channel, by its own means and spreads",
    "declared": "standardised by the declared offset and scale of each channel: (value - offset) / scale",
}
_FITTED = {
    "hold": "A shorter one goes on with its last value, and a longer one is cut",
    "zero": "A shorter one goes on with 0, and a longer one is cut",
    "resample": "Another length is stretched to it, or shortened by means",
}


def card_text(described: str, sample: Mapping[str, Any], classes: Sequence[str], counts: Sequence[int]) -> CardText:
    """`described`: the size of a series; `sample`: the modality's fields; `counts`: series per class."""
    per_class = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    rows = [
        f"| {y} | {markdown_text(name)} | {count} |"
        for y, (name, count) in enumerate(zip(classes, counts, strict=True))
    ]
    facts = {name: value for name, value in sample.items() if name != "kind" and value != []}
    return CardText(
        task="",
        summary=(
            f"{sum(counts)} series ({described}) that stand in for a whole data set when training a classifier of "
            f"time series: {len(counts)} classes, {per_class} per class."
        ),
        classes="\n".join(["| Label | Class | Series |", "| --- | --- | --- |", *rows]),
        loading=_loading(sample),
        expansion="Not used: every stored series is one training sample.",
        preview="![Preview: a plot for each class](preview.png)",
        data_files=_DATA_FILES,
        facts=facts,
    )


def _loading(sample: Mapping[str, Any]) -> str:
    bands = ""
    if sample["front_end"] == "log-mel":
        bands = " The channels are the bands of a log-mel spectrogram of sounds: no sound can be heard from them."
    return f"""`distilled.safetensors` is the canonical file: float32 [n, C, L]. A real series, to be classified by what
was trained on these, is {_SCALED[sample["standardise"]]}; its gaps are filled along straight lines.
{_FITTED[sample["fit"]]}.{bands} `series/train.parquet` (columns `series`, lists of C lists, and `label`) and
`series/train.ts` hold the same numbers.

```python
import collabdm
train = collabdm.load("path/to/this/folder")  # a torch Dataset of (float32 [C, L], label)

import datasets
series = datasets.load_dataset("path/to/this/folder", split="train")

from safetensors.torch import load_file
tensors = load_file("path/to/this/folder/distilled.safetensors")  # "series" and "labels"
```"""
