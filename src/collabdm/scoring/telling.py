"""What a score says of itself: the set, the data, the protocol, in JSON and in sentences."""

from collections.abc import Mapping
from typing import Any

from collabdm.counting import counted
from collabdm.data.samples import Dataset
from collabdm.evaluation.networks import Trials
from collabdm.judges.table import described
from collabdm.scoring.formulas import WEIGHT
from collabdm.scoring.scores import FULL, Asked
from collabdm.scoring.sets import Source

__all__ = ["told_of"]

FORMAT = "collabdm scores 1"


def told_of(source: Source, dataset: Dataset, trials: Trials, asked: Asked, found: Mapping[str, Any]) -> dict[str, Any]:
    """All that is known, as plain JSON; accuracies and scores in [0, 1]."""
    foreign, recipe = source.foreign, trials.recipe
    counts = dict(zip(dataset.train.classes, foreign.counts(len(dataset.train.classes)), strict=True))
    return {
        "format": FORMAT,
        "set": {
            "source": foreign.source,
            "size": len(foreign.labels),
            "samples": source.sample.plural,
            "per_class": counts,
            "labels": "hard" if foreign.targets is None else "hard and soft",
            "digest": source.own(soft=foreign.targets is not None).digest(),
            "assumed": list(foreign.assumed),
        },
        "data": {
            "dataset": dataset.name,
            "train": len(dataset.train),
            "test": len(dataset.test),
            "classes": list(dataset.train.classes),
            "sample": source.sample.model_dump(mode="json"),
        },
        "protocol": recipe.model_dump(mode="json")
        | {"augment": list(source.augment), "seed": trials.seed, "dtype": trials.engine.dtype, "epoch": "last"}
        | {"all_data_shown": asked.full_shown, "all_data_accuracy": asked.full_accuracy, "weight": WEIGHT},
        "networks": [described(spec) for spec in trials.networks],
        **found,
        "how": _sentences(source, trials, asked, found),
    }


def _sentences(source: Source, trials: Trials, asked: Asked, found: Mapping[str, Any]) -> list[str]:
    recipe, plural = trials.recipe, source.sample.plural
    epochs = recipe.epochs_for(len(source.foreign.labels))
    lines = [
        f"Protocol {recipe.name}: {counted(recipe.count, 'network')} of each kind, {counted(epochs, 'epoch')}, "
        f"batch {recipe.batch}, SGD at rate {recipe.lr:g} ({recipe.schedule}), momentum {recipe.momentum:g}, "
        f"weight decay {recipe.weight_decay:g}, seed {trials.seed}; augmentation "
        f"{', '.join(source.augment) or 'none'}; accuracy of the last epoch",
        f"Networks: {'; '.join(described(spec) for spec in trials.networks)}",
        f"Random real {plural}: as many of each class as the set has, drawn anew for each network",
    ]
    shown = asked.epochs(len(source.train), recipe)
    if FULL in found["accuracy"]:
        lines.append(
            f"All data: one network of each kind, {counted(shown, 'epoch')} over {len(source.train):,} {plural}; what "
            "more epochs would add is missing from HLR, and LRS is that much too high (--full-data shows more)"
        )
    if asked.full_accuracy is not None:
        lines.append(f"LRS takes {100 * asked.full_accuracy:g} % for all data, as stated and not measured here")
    elif FULL not in found["accuracy"]:
        lines.append("No network was trained on all data, so there is no LRS")
    if source.foreign.targets is not None:
        soft = (
            f"random real {plural} get theirs from the network trained on all data"
            if FULL in found["accuracy"]
            else f"random real {plural} have none, as no network was trained on all data to give them"
        )
        lines.append(f"Soft labels are learned by cross-entropy at temperature 1, one row a sample; {soft}")
    if not source.augment:
        lines.append("There is no augmentation of such samples, so there is no ARS")
    lines.append(
        "LRS = (e^a - 1/e) / (e - 1/e) with a = (IOR - HLR) / 2, ARS alike with the mean of the gains over random with "
        "augmentation and without (DD-Ranking, arXiv 2505.13300); accuracies in the exponent are shares, not percent"
    )
    if "attacks" in found:
        lines.append(
            f"Attacks: network 0 of each kind, at most {asked.attacked} test images, white box, sizes in pixels of "
            "[0, 1], PGD from a random start in steps of a quarter of its size"
        )
    return lines
