"""`collabdm evaluate --images`: scores of a set that somebody else made."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from collabdm.cli.folders import check_new
from collabdm.cli.output import print_json, print_table, say
from collabdm.cli.progress import progress
from collabdm.errors import ConfigError, explain

if TYPE_CHECKING:
    from collabdm.config import Config
    from collabdm.data import Dataset
    from collabdm.progress import Report
    from collabdm.scoring.scores import Asked
    from collabdm.scoring.sets import Source

__all__ = ["Attacks", "FullAccuracy", "FullData", "Images", "Labels", "Levels", "Out", "Resize", "evaluate_foreign"]

Images = Annotated[
    str | None,
    Option(
        metavar="SOURCE",
        help="Instead of PATH: a set that somebody else made, to be scored. A folder of images by class, an .npz, a "
        ".pt (tensors only), an archive or a hub name; of tables and series their own files.",
    ),
]
Labels = Annotated[
    str | None,
    Option(metavar="FILE", help="With --images: labels or soft labels in a file of their own (.pt, .npz, .npy)."),
]
Levels = Annotated[
    Literal["auto", "unit", "bytes", "signed", "normalised"],
    Option(help="With --images: what the numbers of an array are: [0, 1], 0..255, [-1, 1], or normalised as the data."),
]
Resize = Annotated[
    bool, Option("--resize", help="With --images: bring images of another size, or in colour, to that of the data.")
]
FullData = Annotated[
    int | None,
    Option(
        metavar="N",
        help="With --images: samples shown in training one network on all data, 0 for none; by default 100000.",
    ),
]
FullAccuracy = Annotated[
    float | None,
    Option(metavar="PERCENT", help="With --images: the accuracy of all data, stated; none is trained then."),
]
Attacks = Annotated[
    bool, Option("--attacks", help="With --images: also test under FGSM, PGD (2/255 and 8/255) and noise (0.1).")
]
Out = Annotated[
    Path | None, Option(help="A JSON file for the result; with --images a table in Markdown (.md) comes beside it.")
]


def evaluate_foreign(
    config: "Config",
    source: str,
    *,
    labels: str | None,
    levels: Any,
    resize: bool,
    full_data: int | None,
    full_accuracy: float | None,
    attacks: bool,
    out: Path | None,
    force: bool,
    quiet: bool,
    json: bool,
) -> None:
    """Score the set at `source` on `config.dataset`, print the tables, and write them to `out`."""
    from collabdm.engine import tune_allocator
    from collabdm.scoring.scores import scored
    from collabdm.scoring.telling import told_of
    from collabdm.storage.files import write_atomically, write_json

    asked = _asked(full_data, full_accuracy, attacks=attacks)
    page_file = out.with_suffix(".md") if out is not None else None
    for file in (out, page_file):
        if file is not None:
            check_new(file, force=force)
    if out is not None and out == page_file:
        raise ConfigError(explain("--out", got=str(out), expected="a name for JSON", fix="for example scores.json"))
    data = _dataset(config)
    tune_allocator()
    with progress(quiet=quiet) as report:
        given, settled = _source(config, data, source, labels=labels, levels=levels, resize=resize)
        for line in given.foreign.assumed:
            say(f"set {source}: {line}", error=True)
        _check(given, asked)
        trials = _trials(settled, data, report)
        told = told_of(given, data, trials, asked, scored(given, data.test, trials, asked, report=report))
    if out is not None and page_file is not None:
        from collabdm.scoring.table import page

        write_atomically(page_file, page(told).encode())
        write_json(out, told)
    if json:
        print_json(told)
    else:
        _print(told)


def _asked(full_data: int | None, full_accuracy: float | None, *, attacks: bool) -> "Asked":
    from collabdm.scoring.scores import Asked

    if full_data is not None and full_data < 0:
        fix = "for example --full-data 1000000"
        raise ConfigError(explain("--full-data", got=full_data, expected="samples shown, 0 or more", fix=fix))
    if full_accuracy is not None and not 1 < full_accuracy <= 100:
        fix = "for example --full-accuracy 84.8"
        raise ConfigError(explain("--full-accuracy", got=full_accuracy, expected="percent, from 1 to 100", fix=fix))
    shown = full_data if full_data is not None else (0 if full_accuracy is not None else Asked.full_shown)
    stated = None if full_accuracy is None else full_accuracy / 100
    return Asked(full_shown=shown, full_accuracy=stated, attacks=attacks)


def _dataset(config: "Config") -> "Dataset":
    from collabdm.data import load_dataset

    return load_dataset(config.dataset, modality=config.modality, options=config.reading)


def _source(
    config: "Config", data: "Dataset", source: str, *, labels: str | None, levels: Any, resize: bool
) -> "tuple[Source, Config]":
    """The set with all that it is scored by; and the settings by which an engine of its size is chosen."""
    from collabdm.planning import augmentation_for, sample_for
    from collabdm.scoring.foreign import read_foreign
    from collabdm.scoring.sets import Source

    sample, classes = sample_for(config, data.preset), data.train.classes
    # The whole file is the set: nothing of it is held out.
    options = {name: value for name, value in config.reading.items() if name not in ("test_fraction", "group")}
    foreign = read_foreign(
        source, sample=sample, classes=classes, labels=labels, levels=levels, resize=resize, options=options
    )
    train = data.train.with_classes(classes)
    given = Source(foreign=foreign, train=train, sample=sample, augment=augmentation_for(config, data.preset))
    size = max(-(-len(foreign.labels) // len(classes)), 1)
    return given, config.model_copy(update={"method": "random-real", "ipc": size})


def _check(given: "Source", asked: "Asked") -> None:
    """What would only be found after hours of training."""
    from collabdm.scoring.sets import random_rows

    if asked.attacks and given.sample.kind != "images":
        got, fix = given.sample.plural, "leave --attacks out"
        raise ConfigError(explain("--attacks", got=got, expected="images", fix=fix))
    random_rows(given.train, given.foreign.counts(len(given.train.classes)), 0, 0)


def _trials(config: "Config", data: "Dataset", report: "Report") -> Any:
    from collabdm.evaluation.judging import trials_of
    from collabdm.planning import recipe_for, resolved
    from collabdm.scoring.scores import kind_of

    if recipe_for(config).asks_teacher:
        fix = "choose fast, paper or strong"
        got = f"{config.evaluate.protocol}, which asks the teacher of a round"
        raise ConfigError(explain("--protocol", got=got, expected="one for any set", fix=fix))
    trials = trials_of(config, data.preset, resolved([config], data.preset, report=report))
    names = [kind_of(spec) for spec in trials.networks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        fix = "score them by a command each"
        raise ConfigError(explain("networks", got=f"{twice} twice", expected="one of each name", fix=fix))
    return trials


def _print(told: dict[str, Any]) -> None:
    from collabdm.scoring.table import accuracy_rows, attack_rows, score_rows

    for title, (header, rows) in (
        ("Test accuracy, %", accuracy_rows(told)),
        ("Scores of DD-Ranking, %", score_rows(told)),
        ("Test accuracy under attack, %", attack_rows(told)),
    ):
        if rows:
            say(title)
            print_table(header, rows)
            say()
    for line in told["how"]:
        say(f"{line}.")
