"""`collabdm train`: one classifier from a distilled set, kept as a file."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from collabdm.cli.folders import check_new
from collabdm.cli.options import Force, Json, Quiet, configured
from collabdm.cli.output import bytes_text, print_facts, print_json, print_table
from collabdm.cli.product import SetPath, fitting, load_set, set_folder
from collabdm.cli.progress import progress
from collabdm.errors import ConfigError, explain

if TYPE_CHECKING:
    from collabdm.classifiers.file import Classifier
    from collabdm.config import Config
    from collabdm.data import Samples
    from collabdm.engine import Engine

__all__ = ["train"]


@configured("seed", "device", "engine", "protocol")
def train(
    config: "Config",
    path: SetPath,
    out: Annotated[Path, Option(help="The classifier file to write (.safetensors).")],
    network: Annotated[
        str | None, Option(help="convnet, alexnet, vgg11 or resnet18; the set's own encoder by default.")
    ] = None,
    test: Annotated[str | None, Option(metavar="SOURCE", help="Data whose test part to try it on.")] = None,
    flows: Annotated[
        Path | None,
        Option(help="A data set of `flows to-images`, or its flows.json: how the set's images were made of flows."),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train one classifier on a distilled set and keep it.

    Any architecture that fits the set's images will do; by default it is that of the encoder that made the set, which
    the set trains best. It is the first of those
    that `evaluate` trains with the same seed, recipe and engine. A set of a round by files does not know how its
    images were made of flows: for `detect`, say it with --flows.
    """
    from collabdm.classifiers.teacher import teacher_labels
    from collabdm.classifiers.training import train_classifier
    from collabdm.config import make_config
    from collabdm.data import load_dataset
    from collabdm.engine import tune_allocator
    from collabdm.storage.files import write_atomically

    check_new(out, force=force)
    if network is not None:
        config = make_config(config.model_dump(), {"evaluate": {"networks": [network]}})
    distilled = load_set(path)
    tested = (
        fitting(load_dataset(test, splits=("test",), modality=distilled.sample.kind).test, distilled)
        if test is not None
        else None
    )
    settings = _flow_settings(flows) if flows is not None else None
    tune_allocator()
    with progress(quiet=quiet) as report:
        teacher = teacher_labels(set_folder(path))
        classifier, engine = train_classifier(distilled, config, flows=settings, teacher=teacher, report=report)
    content = classifier.to_bytes()
    write_atomically(out, content)
    facts = {
        **_card(classifier),
        "digest": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    found = _tested(classifier, tested, engine) if tested is not None else None
    if json:
        print_json(facts | {"file": str(out)} | ({"test": {"dataset": test} | found} if found else {}))
        return
    print_facts(f"classifier: {out}", facts | {"bytes": f"{len(content)} ({bytes_text(len(content))})"})
    if found:
        told = {"accuracy": _percent(found["accuracy"]), "macro-F1": _percent(found["macro_f1"])}
        print_facts(f"on {test}:", told)
        rows = [(y, _percent(one), str(found["samples"][y])) for y, one in found["per_class"].items()]
        print_table(("class", "recall", "samples"), rows)


def _card(classifier: "Classifier") -> dict[str, Any]:
    from collabdm.networks import spelled_out

    network = classifier.card.network
    return {"network": network.name, "architecture": spelled_out(network), "classes": list(classifier.card.classes)}


def _flow_settings(path: Path) -> dict[str, Any]:
    from collabdm.data.flows.facts import flow_facts

    facts = flow_facts(path)
    if not isinstance(settings := facts.get("flows"), dict):
        expected = "a data set of flows, or its flows.json"
        raise ConfigError(explain("--flows", got=path, expected=expected, fix="make one: collabdm flows to-images"))
    return settings


def _tested(classifier: "Classifier", test: "Samples", engine: "Engine") -> dict[str, Any]:
    from collabdm.training.scores import scores

    predicted = classifier.probabilities(test.values, engine).argmax(axis=1)
    found = scores(predicted, test.labels, len(test.classes))
    return {
        "accuracy": found.accuracy,
        "macro_f1": found.macro_f1,
        "per_class": dict(zip(test.classes, found.per_class, strict=True)),
        "samples": dict(zip(test.classes, test.counts().tolist(), strict=True)),
    }


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f} %"
