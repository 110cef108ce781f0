"""The README.md inside a distilled set: a Hugging Face dataset card, for a person and for the hub."""

import json
from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from collabdm.distilled.format import Metadata
from collabdm.errors import markdown_text
from collabdm.modality import CardText
from collabdm.networks import NetworkSpec, spelled_out
from collabdm.protocol import LOCAL_METHODS
from collabdm.storage.tensor_file import canonical

__all__ = ["encoder_text", "write_card"]

_LONGEST_FACT = 300
_TARGETS = "\n\nThe file also holds the tensor `targets`: float32 [samples, classes], a probability for each class."


def write_card(metadata: Metadata, text: CardText, total: int, digest: str, *, licence: str | None = None) -> str:
    """Markdown with YAML front matter; `text`: what the modality says of its samples, of which there are `total`;
    `digest`: SHA-256 of the set's file, in hex; `licence`: the hub's name of one."""
    title = f"{_title_of(metadata.facts)}, distilled with {metadata.method}"
    made = "Made with CollabDM, collaborative data distillation in one round."
    soft = "Every sample also has soft targets, a probability for each class." if metadata.targets else ""
    sections = [
        _front_matter(title, text, total, digest, licence),
        f"# {markdown_text(title)}\n\n{text.summary} {f'{soft} ' if soft else ''}{made}",
        text.preview,
        f"## Classes\n\n{text.classes}",
        f"## How to load\n\n{text.loading}{_TARGETS if metadata.targets else ''}",
        f"## Partition and expand\n\n{text.expansion}",
        _facts(metadata, text),
        _intended_use(metadata),
        _privacy(metadata),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def encoder_text(facts: Mapping[str, JsonValue]) -> str | None:
    """The encoder that made the set, with all its parameters; None where the facts name none that is known."""
    try:
        return spelled_out(NetworkSpec.model_validate(facts.get("network")))
    except ValidationError:
        return None


def _title_of(facts: Mapping[str, JsonValue]) -> str:
    name = facts.get("dataset")
    return name if isinstance(name, str) and name else "A small training set"


def _front_matter(title: str, text: CardText, total: int, digest: str, licence: str | None) -> str:
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    size = next((name for bound, name in bounds if total < bound), "1M<n<10M")
    return "\n".join(
        [
            "---",
            f"pretty_name: {json.dumps(title)}",
            *([f"license: {licence}"] if licence else []),
            *(["task_categories:", f"- {text.task}"] if text.task else []),
            "tags:",
            "- collabdm",
            "- dataset-distillation",
            "- synthetic",
            "size_categories:",
            f"- {size}",
            f"{text.data_files.replace('{digest}', digest[:16])}---",
        ]
    )


def _facts(metadata: Metadata, text: CardText) -> str:
    fixed: dict[str, JsonValue] = {
        "method": metadata.method,
        "augmentation": ", ".join(metadata.augment) or "none",
        **(text.facts or {}),
    }
    encoder = encoder_text(metadata.facts)
    if encoder is not None:
        fixed["encoder"] = encoder
    rows = [f"| {markdown_text(name)} | {_value(value)} |" for name, value in (fixed | metadata.facts).items()]
    return "\n".join(["## How it was made", "", "| Fact | Value |", "| --- | --- |", *rows])


def _intended_use(metadata: Metadata) -> str:
    augment = ", ".join(metadata.augment) or "no operation"
    return (
        "## Intended use\n\n"
        "Training and comparing classifiers quickly, and sharing what a classifier can learn from "
        "data that stays where it is. Train with the augmentation that the set was matched under "
        f"({augment}). It is not meant for judging a model (test on real data), for generating "
        f"{metadata.sample.plural}, or for any decision about a person whose data may stand behind it. A distilled "
        "set carries over the biases of its source."
    )


def _privacy(metadata: Metadata) -> str:
    init, plural = metadata.facts.get("init"), metadata.sample.plural
    if metadata.method.startswith("random-real"):
        origin = (
            f"**This set consists of real {plural}**, copied or shrunk from the source data. "
            "Share it only where you may share those."
        )
    elif init == "real" and (centres := _centres(metadata.facts)):
        origin = (
            f"**The {plural} were initialised from {centres} of real {plural}, and carry them:** a centre is the mean "
            f"of real {plural} that lie together, one of few is close to each of these, and a site that held too few "
            f"of a class gave the {plural} themselves. Share this set only where you may share those {plural}."
        )
    elif init == "real":
        origin = (
            f"**The {plural} were initialised from real {plural}, and carry them:** people, places or text in the "
            f"source can be recognisable. Share this set only where you may share those {plural}."
        )
    elif init == "noise":
        origin = f"The {plural} were initialised from noise; none of the real {plural} was copied into them."
    else:
        origin = f"How the {plural} were initialised is not recorded: assume that they carry real {plural}."
    if (promise := _promise(metadata.facts)) is not None:
        return f"## Privacy\n\n{origin}\n\n{promise}"
    return (
        f"## Privacy\n\n{origin}\n\n"
        f"{_statistics(metadata)}Unless the facts above say so, there is "
        "**no differential-privacy guarantee**."
    )


def _centres(facts: Mapping[str, JsonValue]) -> str:
    """What the sites made of their samples to start from, where these were means; empty where not."""
    local = facts.get("local")
    method = LOCAL_METHODS.get(str(local.get("method"))) if isinstance(local, Mapping) else None
    return method.centres if method else ""


def _promise(facts: Mapping[str, JsonValue]) -> str | None:
    """What the plan promised of every site's data; None where it promised nothing."""
    promised = facts.get("privacy")
    if not isinstance(promised, Mapping):
        return None
    if insecure := facts.get("insecure_noise"):
        names = ", ".join(map(str, insecure)) if isinstance(insecure, list) else str(insecure)
        return (
            f"**NO differential privacy.** The noise of {markdown_text(names)} was made from a number "
            "(`--insecure-noise-seed`): whoever knows it takes the noise off again. This set is for a study, and must "
            "not be handed on as a private one."
        )
    epsilon, delta, unit = (markdown_text(str(promised.get(name))) for name in ("epsilon", "delta", "unit"))
    masks = facts.get("masks") if isinstance(facts.get("masks"), Mapping) else None
    what, whom = "everything that left a site", "towards everyone, the server too: each site added the noise itself"
    if promised.get("noise") == "sum":
        what, whom = "the sum of what all sites sent", _central(masks if isinstance(masks, Mapping) else {})
    elif masks is not None:
        whom += ". The server could read the sum of all sites only"
    return (
        f"**Differential privacy:** {what} is ({epsilon}, {delta})-differentially private against "
        f"adding or removing one {unit} of its data, {whom}. The set is computed from that alone, so it has the "
        "same guarantee. Not covered: that these sites took part, the names of the classes, and settings that were "
        "chosen by looking at private data."
    )


def _central(masks: Mapping[str, JsonValue]) -> str:
    """Who can claim it where the noise is whole in the sum only."""
    threshold, alone = (markdown_text(str(masks.get(name, "?"))) for name in ("threshold", "epsilon_alone"))
    return (
        "towards whoever has the set; and towards the server and other sites, if at least "
        f"{threshold} of the sites that took part added their share of the noise and keep it to themselves, and the "
        "server did not have the masks opened of a site whose sums it has: such sums alone would be protected by an "
        f"epsilon of {alone} only"
    )


def _statistics(metadata: Metadata) -> str:
    if metadata.method.startswith("random-real"):
        return ""
    gram = ", and the means and the covariance of fixed features" if "features" in metadata.facts else ""
    return (
        "The set was fitted to statistics of real data (embeddings under random networks, averaged over "
        f"samples{gram}), which can reveal something about that data, most of all where a class has few samples. "
    )


def _value(value: JsonValue) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return markdown_text(text if len(text) <= _LONGEST_FACT else text[: _LONGEST_FACT - 1] + "…")
