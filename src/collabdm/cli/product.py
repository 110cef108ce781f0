"""`collabdm evaluate`: what a distilled set is worth, or how right a classifier is."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from collabdm.cli import scores
from collabdm.cli.classifier import classifier_path, evaluate_classifier
from collabdm.cli.kept_evaluation import keep, kept_at
from collabdm.cli.options import Force, Json, Quiet, configured, listed
from collabdm.cli.output import accuracy_text, print_json, print_table, say
from collabdm.cli.progress import progress, say_reading
from collabdm.errors import ConfigError, DataError, DistilledSetError, explain

if TYPE_CHECKING:
    from collabdm.config import Config
    from collabdm.data import Samples
    from collabdm.distilled.set import DistilledSet
    from collabdm.training.recipes import Recipe

__all__ = ["SetPath", "evaluate", "fitting", "load_set", "set_folder"]

SetPath = Annotated[
    Path, Argument(metavar="PATH", help="A distilled set, or a run folder with one.", show_default=False)
]

_Judged = Annotated[
    Path | None,
    Argument(
        metavar="[PATH]", help="A distilled set, a classifier file, or a run folder with one.", show_default=False
    ),
]
_Networks = Annotated[
    str | None,
    Option(help="Networks to train (convnet, ...), and logistic, knn, forest, boosting, ridge, rocket-ridge: a,b,c."),
]
_Count = Annotated[
    int | None,
    Option(help="Networks of each kind; by default 3, or 20 (paper). A judge without randomness runs once."),
]
_Exported = Annotated[
    bool | None,
    Option(
        "--exported/--no-exported",
        help="Also judge the set's exported files, as others read them; done by default.",
    ),
]


@configured("dataset", "seed", "device", "engine", "protocol", "label", "test_fraction", "group")
def evaluate(
    config: "Config",
    path: _Judged = None,
    dataset: str | None = None,
    config_file: Path | None = None,
    networks: _Networks = None,
    count: _Count = None,
    exported: _Exported = None,
    images: scores.Images = None,
    labels: scores.Labels = None,
    levels: scores.Levels = "auto",
    resize: scores.Resize = False,
    full_data: scores.FullData = None,
    full_accuracy: scores.FullAccuracy = None,
    attacks: scores.Attacks = False,
    out: scores.Out = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Test models trained on a set, or a classifier; score any set.

    Without --networks they are of the set's own kind: the encoder that made it, with its width, depth, norm and
    pooling. The card of a set warns where its exported 8-bit files train worse by more than a point.

    A classifier file is one that `train` wrote, the `teacher.safetensors` of a round or the `model-0.safetensors` of a
    rival. It is tested on the data's test part; nothing is trained.

    With --images the set is anybody's. It is held beside random real images of its size and all data, by accuracy and
    by the scores of DD-Ranking (docs/scores.md).
    """
    if dataset is None and config_file is None:
        raise ConfigError(explain("--dataset", got="none", expected="data to test on", fix="pass --dataset SOURCE"))
    given = {"networks": listed(networks) if networks is not None else None, "count": count}
    wanted = {name: value for name, value in given.items() if value is not None}
    of_foreign = {
        "labels": labels,
        "levels": levels,
        "resize": resize,
        "full_data": full_data,
        "full_accuracy": full_accuracy,
        "attacks": attacks,
    }
    path = _one_of(path, images, of_foreign, exported)
    if path is None:
        inside = set_folder(Path(str(images)))
        source = str(images) if inside == Path(str(images)) else str(inside)
        given = {**of_foreign, "out": out, "force": force, "quiet": quiet, "json": json}
        scores.evaluate_foreign(_with(config, wanted), source, **given)
        return
    kept = kept_at(path, out, force=force)
    if (model := classifier_path(path)) is not None:
        of_a_set = {"--networks": networks, "--count": count, "--exported": exported, "--out": out}
        asked = {name: value is not None for name, value in of_a_set.items()}
        evaluate_classifier(config, model, asked=asked, quiet=quiet, json=json)
        return
    told, found, lines = _evaluate_set(config, path, wanted, exported=exported is not False, quiet=quiet)
    print_json(told | found) if json else _print_accuracies(found, *lines)
    keep(path, set_folder(path), told | found, kept, told=not json and not quiet)


def _one_of(path: Path | None, images: str | None, of_foreign: Mapping[str, Any], exported: bool | None) -> Path | None:
    """`path`, or None where `images` are given instead. Raises `ConfigError` where it is both, none, or with options of
    the other."""
    if (path is None) == (images is None):
        got = "none" if path is None else f"{path} and --images {images}"
        fix = "give PATH, or --images SOURCE for a set that somebody else made"
        raise ConfigError(explain("set to evaluate", got=got, expected="one", fix=fix))
    usual = {"levels": "auto"}
    asked = [name for name, value in of_foreign.items() if value not in (None, False) and value != usual.get(name)]
    if images is None and asked:
        got, fix = f"--{asked[0].replace('_', '-')}", "leave it out, or give the set with --images"
        raise ConfigError(explain("evaluate PATH", got=got, expected="no option of --images", fix=fix))
    if images is not None and exported is not None:
        fix = "leave it out: what is read is what was exported"
        raise ConfigError(explain("--images", got="--exported or --no-exported", expected="neither", fix=fix))
    return path


def _with(config: "Config", wanted: Mapping[str, Any]) -> "Config":
    from collabdm.config import make_config

    return make_config(config.model_dump(), {"evaluate": wanted})


def _evaluate_set(
    config: "Config", path: Path, wanted: Mapping[str, Any], *, exported: bool, quiet: bool
) -> "tuple[dict[str, Any], dict[str, Any], tuple[str, Recipe]]":
    """Train networks on the set at `path`, `wanted` of `config.evaluate` replaced: how they were judged, how right they
    are by set, and the first network with its recipe."""
    from collabdm.classifiers.teacher import teacher_labels
    from collabdm.config import make_config
    from collabdm.data import load_dataset
    from collabdm.engine import tune_allocator
    from collabdm.evaluation.classes_told import tell_lacking
    from collabdm.evaluation.judging import training_set, trials_of
    from collabdm.evaluation.networks import network_results, summary
    from collabdm.evaluation.own import settled_for
    from collabdm.judges.table import described
    from collabdm.planning import recipe_for, resolved

    say_reading(config.dataset, quiet=quiet)
    distilled = load_set(path)
    config = make_config(config.model_dump(), {"evaluate": wanted, "modality": distilled.sample.kind})
    data = load_dataset(
        config.dataset,
        splits=("test",),
        modality=distilled.sample.kind,
        options=config.reading,
        sample=distilled.sample,
    )
    test = fitting(data.test, distilled)
    tell_lacking(distilled, test)
    # As many images as the set trains on: what the engine is chosen by.
    samples = len(distilled) * distilled.tiles**2
    work = config.model_copy(update={"method": "random-real", "ipc": -(-samples // len(distilled.classes))})
    recipe = recipe_for(config)
    tune_allocator()
    with progress(quiet=quiet) as report:
        work, preset = settled_for(work, distilled, data.preset, report=report)
        engine = resolved([work], preset, report=report)
        trials = trials_of(work, preset, engine)
        # What is judged as it is exported has one accuracy.
        other = exported and not distilled.sample.judged_as_exported
        sets = {"accuracy": distilled} | ({"exported": distilled.exported()} if other else {})
        teacher = teacher_labels(set_folder(path), distilled) if recipe.asks_teacher else None
        results = {
            name: list(network_results(training_set(one, teacher), test, trials, introduced=place > 0, report=report))
            for place, (name, one) in enumerate(sets.items())
        }
    found = {name: summary(of_set, distilled.classes) for name, of_set in results.items()}
    if other:
        _tell_lost(set_folder(path), found["accuracy"]["mean"], found["exported"]["mean"])
    judges = [described(spec) for spec in trials.networks]
    told = {"dataset": config.dataset, "networks": judges, "protocol": recipe.model_dump(), "seed": config.seed}
    told["seconds"] = sum(one.seconds or 0.0 for of_set in results.values() for one in of_set)
    return told, found, (results["accuracy"][0].network, recipe)


def _print_accuracies(found: Mapping[str, Mapping[str, Any]], network: str, recipe: "Recipe") -> None:
    """A row for each kind of network (of `network` alone, where there is one kind), a column for each set."""
    from collabdm.judges.table import JUDGES
    from collabdm.training.recipes import recipe_text

    told = recipe_text(recipe.model_dump())
    kinds = {name: one.get("by_network") or {network: one} for name, one in found.items()}
    ran = Counter(one["network"] for one in found["accuracy"]["networks"])
    rows = [
        (
            kind,
            *(accuracy_text(of_kind[kind]["mean"], of_kind[kind]["std"]) for of_kind in kinds.values()),
            str(ran[kind]),
            # Their own settings say how judges learn.
            "" if kind.split()[0] in JUDGES else told,
        )
        for kind in kinds["accuracy"]
    ]
    print_table(("network", *found, "networks", "protocol"), rows)


def _tell_lost(folder: Path, accuracy: float, exported: float) -> None:
    """Say, here and in the set's card, where the exported files train worse by more than a point."""
    from collabdm.distilled.measured import MOST_LOST, warn_in_card

    try:
        warns = warn_in_card(folder, accuracy, exported)
    except OSError as error:
        warns = False
        say(f"The card of {folder} was left as it is: {error.strerror}.", error=True)
    if accuracy - exported > MOST_LOST:
        where = "; its card says so now" if warns else ""
        say(
            f"The exported files train worse than the set, by {100 * (accuracy - exported):.1f} points{where}.",
            error=True,
        )


def set_folder(path: Path) -> Path:
    """`path`, or where the run folder there has its set (of repeats, the first)."""
    inside = (path / "distilled", path / "repeat-0" / "distilled")
    return next((folder for folder in inside if folder.is_dir()), path)


def load_set(path: Path) -> "DistilledSet":
    """The distilled set at `path`, or in the run folder there (of repeats, the first).

    Raises `DistilledSetError`.
    """
    from collabdm.distilled.set import load

    folder = set_folder(path)
    if folder != path:
        return load(folder)
    if not path.exists():
        raise DistilledSetError(
            explain("distilled set", got=f"{path}, which does not exist", expected="a folder", fix="check the path")
        )
    return load(path)


def fitting(test: "Samples", distilled: "DistilledSet") -> "Samples":
    """The test samples with the set's classes. Raises `DataError` where they are of another size."""
    try:
        distilled.sample.check(test.shape)
    except DataError:
        got, expected = f"shape {list(test.shape)}", f"{list(distilled.sample.shape)}, as in the distilled set"
        fix = "test on the kind of data that the set was made from"
        raise DataError(explain(f"test {distilled.sample.plural}", got=got, expected=expected, fix=fix)) from None
    return test.with_classes(distilled.classes)
