"""A classifier file on the command line: where a path leads to one, and how right it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collabdm.cli.output import print_facts, print_json, print_table, say
from collabdm.cli.progress import progress
from collabdm.errors import ConfigError, DistilledSetError, explain
from collabdm.storage.reading import opened_regular, strict_json

if TYPE_CHECKING:
    from collabdm.classifiers.file import Classifier
    from collabdm.config import Config

__all__ = ["classifier_facts", "classifier_path", "evaluate_classifier", "flow_settings", "print_tried"]

# Where a run folder keeps its model: a rival's (of several, or of repeats, the first), or the teacher of a round.
_PLACES = ("model-0.safetensors", "repeat-0/model-0.safetensors", "teacher.safetensors", "repeat-0/teacher.safetensors")


def classifier_path(path: Path) -> Path | None:
    """The classifier file at `path`, or in the run folder there, if it has one and no distilled set.

    Raises `DistilledSetError` for a run folder whose only model is no such file.
    """
    if path.is_file():
        return path if _is_classifier(path) else None
    # An interrupted round has its teacher before its set: it is no product yet.
    if not path.is_dir() or any((path / name).exists() for name in ("distilled.safetensors", "initial", "distilled")):
        return None
    found = next((path / place for place in _PLACES if (path / place).is_file()), None)
    if found is None or _is_classifier(found):
        return found
    got = f"{found}, several networks together or one with batch norm"
    fix = "its accuracy stands in the run's metrics.json"
    raise DistilledSetError(explain(f"run {path}", got=got, expected="a distilled set or a classifier file", fix=fix))


def evaluate_classifier(config: "Config", path: Path, *, asked: Mapping[str, bool], quiet: bool, json: bool) -> None:
    """Test the classifier file at `path` on the test part of `config.dataset`, and print how right it is.

    `asked`: which options were given that only a distilled set has a use for.
    """
    from collabdm.classifiers.file import load_classifier
    from collabdm.classifiers.testing import fitting_classifier, testing_engine, tried
    from collabdm.data import load_dataset
    from collabdm.engine import tune_allocator

    if given := [name for name, is_given in asked.items() if is_given]:
        fix = "leave it out: a classifier is tested as it is"
        raise ConfigError(explain(", ".join(given), got=f"the classifier {path}", expected="a distilled set", fix=fix))
    classifier = load_classifier(path)
    _tell_unused(config)
    sample = classifier.card.sample
    test = fitting_classifier(
        load_dataset(
            config.dataset,
            splits=("test",),
            modality=sample.kind,
            options=config.model_copy(update={"modality": sample.kind}).reading,
            sample=sample,
        ).test,
        classifier,
    )
    tune_allocator()
    with progress(quiet=quiet) as report:
        found = tried(classifier, test, testing_engine(classifier, test, config, report=report))
    _tell_others(path, quiet=quiet)
    facts = {"classifier": str(path), "digest": classifier.digest(), **classifier_facts(classifier)}
    if json:
        print_json({"dataset": config.dataset} | facts | found)
        return
    print_facts(f"classifier: {path}", {name: value for name, value in facts.items() if name != "classifier"})
    print_tried(config.dataset, found)


def classifier_facts(classifier: "Classifier") -> dict[str, Any]:
    """Which network it is, which one is beside it, if any, in which views it is asked, and which classes it knows."""
    from collabdm.networks import spelled_out

    network, beside = classifier.card.network, classifier.card.beside
    return {
        "network": network.name,
        "architecture": spelled_out(network),
        **({"beside": spelled_out(beside)} if beside else {}),
        **({"views": list(views)} if (views := classifier.card.views) else {}),
        "classes": list(classifier.card.classes),
    }


def flow_settings(path: Path) -> dict[str, Any]:
    """What `--flows` names: how images or rows were made of flows. Raises `ConfigError` or `DataError`."""
    from collabdm.data.flows.facts import flow_facts

    facts = flow_facts(path)
    if not isinstance(settings := facts.get("flows"), dict):
        expected = "a data set of flows, or its flows.json"
        raise ConfigError(
            explain("--flows", got=path, expected=expected, fix="make one: collabdm flows to-images, or to-table")
        )
    return settings


def print_tried(dataset: str, found: Mapping[str, Any]) -> None:
    """What `classifiers.testing.tried` found."""
    told = {"accuracy": _percent(found["accuracy"]), "macro-F1": _percent(found["macro_f1"])}
    print_facts(f"on {dataset}:", told)
    rows = [(y, _percent(one), str(found["samples"][y])) for y, one in found["per_class"].items()]
    print_table(("class", "recall", "samples"), rows)


def _is_classifier(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with opened_regular(path), safe_open(path, "np") as file:
            metadata = strict_json((file.metadata() or {}).get("collabdm", "null"))
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError):
        return False
    return isinstance(metadata, dict) and metadata.get("format") == "collabdm-classifier"


def _tell_unused(config: "Config") -> None:
    """Say which settings, of a file perhaps, have no use here."""
    from collabdm.config import Config

    usual = Config()
    unused = [name for name in ("seed", "evaluate") if getattr(config, name) != getattr(usual, name)]
    if unused:
        say(f"Not used, since a classifier is tested as it is: {', '.join(unused)}.", error=True)


def _tell_others(path: Path, *, quiet: bool) -> None:
    others = sorted(one.name for one in path.parent.glob("model-*.safetensors") if one != path)
    if path.name == "model-0.safetensors" and others and not quiet:
        say(f"Tested {path.name} alone; there are also {', '.join(others)}: pass their paths.", error=True)


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f} %"
