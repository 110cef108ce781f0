"""`collabdm train`: one classifier from a distilled set, kept as a file."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from collabdm.cli.classifier import classifier_facts, flow_settings, print_tried
from collabdm.cli.folders import check_new
from collabdm.cli.options import Force, Json, Quiet, configured
from collabdm.cli.output import bytes_text, print_facts, print_json
from collabdm.cli.product import SetPath, fitting, load_set, set_folder
from collabdm.cli.progress import progress

if TYPE_CHECKING:
    from collabdm.config import Config
    from collabdm.data import Samples
    from collabdm.distilled.set import DistilledSet

__all__ = ["train"]


@configured("seed", "device", "engine", "protocol", "label", "test_fraction", "group", "ignore")
def train(
    config: "Config",
    path: SetPath,
    out: Annotated[Path, Option(help="The classifier file to write (.safetensors).")],
    network: Annotated[
        str | None, Option(help="convnet, alexnet, vgg11, resnet18, of rows mlp; the usual one of the set by default.")
    ] = None,
    test: Annotated[str | None, Option(metavar="SOURCE", help="Data whose test part to try it on.")] = None,
    flows: Annotated[
        Path | None,
        Option(
            help="A data set of `flows to-images` or `to-table`, or its flows.json: how the set's samples were made."
        ),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train one classifier on a distilled set and keep it.

    Any architecture that fits the set's samples will do; by default it is that of the encoder that made the set, which
    the set trains best, and of rows `mlp`. It is the first of those
    that `evaluate` trains with the same seed, recipe and engine. A set of a round by files does not know how its
    samples were made of flows: for `detect`, say it with --flows.
    """
    from collabdm.classifiers.teacher import teacher_labels
    from collabdm.classifiers.testing import tried
    from collabdm.classifiers.training import train_classifier
    from collabdm.config import make_config
    from collabdm.engine import tune_allocator
    from collabdm.planning import recipe_for
    from collabdm.storage.files import write_atomically

    check_new(out, force=force)
    if network is not None:
        config = make_config(config.model_dump(), {"evaluate": {"networks": [network]}})
    distilled = load_set(path)
    tested = _tested_on(test, distilled, config) if test is not None else None
    settings = flow_settings(flows) if flows is not None else None
    tune_allocator()
    with progress(quiet=quiet) as report:
        teacher = teacher_labels(set_folder(path), distilled) if recipe_for(config).asks_teacher else None
        classifier, engine = train_classifier(distilled, config, flows=settings, teacher=teacher, report=report)
    content = classifier.to_bytes()
    write_atomically(out, content)
    digest = hashlib.sha256(content).hexdigest()
    facts = {**classifier_facts(classifier), "digest": digest, "bytes": len(content)}
    found = tried(classifier, tested, engine) if tested is not None else None
    if json:
        print_json(facts | {"file": str(out)} | ({"test": {"dataset": test} | found} if found else {}))
        return
    print_facts(f"classifier: {out}", facts | {"bytes": f"{len(content)} ({bytes_text(len(content))})"})
    if found:
        print_tried(str(test), found)


def _tested_on(source: str, distilled: "DistilledSet", config: "Config") -> "Samples":
    from collabdm.data import load_dataset

    data = load_dataset(
        source,
        splits=("test",),
        modality=distilled.sample.kind,
        options=config.model_copy(update={"modality": distilled.sample.kind}).reading,
        sample=distilled.sample,
    )
    return fitting(data.test, distilled)
