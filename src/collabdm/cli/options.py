"""Options that several commands share, and how they become one `Config`."""

import copy
import csv
import inspect
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from typer import Argument, Option

from collabdm.cli.output import say
from collabdm.cli.screens import completed

if TYPE_CHECKING:
    from collabdm.config import Config

__all__ = [
    "AllowMissing",
    "Force",
    "Json",
    "MaxUpload",
    "MinClients",
    "PlanFile",
    "Quiet",
    "Real",
    "Resume",
    "bytes_of",
    "configured",
    "listed",
    "seconds_of",
    "unlisted",
]

PlanFile = Annotated[Path, Argument(metavar="PLAN", help="The plan file.", show_default=False)]
Real = Annotated[
    bool, Option(help="Show a simulation's real samples beside the distilled ones; --no-real for other eyes.")
]
Force = Annotated[bool, Option("--force", help="Replace what an earlier run left at --out.")]
Resume = Annotated[bool, Option("--resume", help="Go on with the interrupted run at --out.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Show neither progress nor what comes next.")]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]
AllowMissing = Annotated[bool, Option("--allow-missing-classes", help="Go on without classes that nobody holds.")]
MinClients = Annotated[int | None, Option(min=1, help="Contributions needed; half of the clients by default.")]

MaxUpload = Annotated[
    str | None,
    Option(metavar="SIZE", help="The most that one client may send (4.5MB, 800kB): chooses seeds, encoding, features."),
]

_KEYS = {
    "dataset": "dataset",
    "method": "method",
    "ipc": "ipc",
    "seed": "seed",
    "repeats": "repeats",
    "device": "device",
    "engine": "engine",
    "partition": "partition.kind",
    "clients": "partition.clients",
    "beta": "partition.beta",
    "protocol": "evaluate.protocol",
    "networks": "evaluate.networks",
    "modality": "modality",
    "label": "data.label",
    "schema": "data.schema_file",
    "test_fraction": "data.test_fraction",
    "group": "data.group",
    "ignore": "data.ignore",
    "site": "partition.column",
}
_SOURCES = "digits, mnist, fashion_mnist, cifar10, svhn, iris, wine, breast_cancer, a folder, an .npz,"
_SOURCES += " a table (.csv, .tsv, .parquet), or a hub name owner/name"


def _methods() -> Iterable[str]:
    from collabdm.methods import METHODS

    return METHODS


_Preset = Annotated[
    str,
    Option(
        help="Settings to start from: default, paper or demo.",
        autocompletion=completed(lambda: ("default", "paper", "demo")),
    ),
]
_Dataset = Annotated[
    str | None, Option(help=f"Data: {_SOURCES}.", autocompletion=completed(lambda: _SOURCES.split(", ")[:8]))
]
_Method = Annotated[
    str | None,
    Option(help="How the set is made: collabdm-pae, collabdm, local-dm-pae, ...", autocompletion=completed(_methods)),
]
_Engine = Annotated[
    str | None,
    Option(
        help="How to compute: auto, eager or compiled.", autocompletion=completed(lambda: ("auto", "eager", "compiled"))
    ),
]
_Partition = Annotated[
    str | None,
    Option(
        metavar="KIND",
        help="How the data are shared: iid, dirichlet, dirichlet-reserved, by-column or single.",
        autocompletion=completed(lambda: ("iid", "dirichlet", "dirichlet-reserved", "by-column", "single")),
    ),
]
_Protocol = Annotated[
    str | None,
    Option(
        help="How the set is judged: fast, paper, strong, taught or together.",
        autocompletion=completed(lambda: ("fast", "paper", "strong", "taught", "together")),
    ),
]


def _config(
    preset: _Preset = "default",
    config_file: Annotated[Path | None, Option("--config", help="A TOML file of settings.")] = None,
    settings: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="One setting; repeatable.")] = None,
    dataset: _Dataset = None,
    method: _Method = None,
    ipc: Annotated[int | None, Option(help="Distilled images per class.")] = None,
    seed: Annotated[int | None, Option(help="The seed that all draws follow from.")] = None,
    repeats: Annotated[int | None, Option(help="Whole experiments with fresh partitions and seeds.")] = None,
    device: Annotated[str | None, Option(help="Where to compute: auto, cpu, cuda, ...")] = None,
    engine: _Engine = None,
    partition: _Partition = None,
    clients: Annotated[str | None, Option(help="How many clients, or their names: a,b,c.")] = None,
    beta: Annotated[float | None, Option(help="Skew of the Dirichlet partition; smaller is more skewed.")] = None,
    protocol: _Protocol = None,
    networks: Annotated[
        str | None,
        Option(
            metavar="A,B,C",
            help="What judges the set: networks (convnet, ...), logistic, knn, forest, boosting, ridge, rocket-ridge.",
        ),
    ] = None,
    modality: Annotated[
        str | None, Option(help="What the data are: auto (by the source), images, tables or series.")
    ] = None,
    label: Annotated[str | None, Option(help="Table: the column of labels.")] = None,
    schema: Annotated[
        str | None, Option(metavar="FILE", help="Table: its declared columns, as `collabdm schema` proposes them.")
    ] = None,
    site: Annotated[str | None, Option(help="The column that names each row's site: partition by it.")] = None,
    test_fraction: Annotated[float | None, Option(help="Table without a test part: the share to test on.")] = None,
    group: Annotated[
        str | None, Option(help="With --test-fraction: a column; rows with the same value in it stay together.")
    ] = None,
    ignore: Annotated[str | None, Option(help="Table: columns not to learn from, a,b,c.")] = None,
) -> "Config":
    from collabdm.config import load_config

    given = {name: value for name, value in locals().items() if name in _KEYS and value is not None}
    if clients is not None:
        given["clients"] = int(clients) if re.fullmatch(r"-?[0-9]{1,9}", clients) else tuple(listed(clients))
    if networks is not None:
        given["networks"] = listed(networks)
    if ignore is not None:
        given["ignore"] = tuple(listed(ignore))
    options = {_KEYS[name]: value for name, value in given.items()}
    if site is not None:
        options.setdefault("partition.kind", "by-column")
    return load_config(preset=preset, file=config_file, settings=settings or (), options=options)


def configured(
    *names: str, elsewhere: Iterable[str] = (), where: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `--preset`, `--config`, `--set` and the named shared options (all if none is named).

    The command takes `config`, the `Config` they make, and does not see them; it may also take any of them, then with
    the value given. Options named in `elsewhere` do nothing at this command. They are read, so that one list of options
    serves a whole round, but `--help` does not show them, and that they do nothing is told: they belong `where`.
    """
    shared = inspect.signature(_config, eval_str=False).parameters
    always, unused = ("preset", "config_file", "settings"), tuple(elsewhere)
    chosen = {name: shared[name] for name in shared if not names or name in (*names, *always, *unused)}
    chosen |= {name: _hidden(chosen[name]) for name in unused}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters

        @wraps(command)
        def called(**values: Any) -> None:
            config = _config(**{name: values[name] for name in chosen})
            _tell_unused(values, unused, where)
            command(config=config, **{name: value for name, value in values.items() if name in own})

        merged = {name: parameter for name, parameter in own.items() if name != "config"} | chosen
        # A command that says itself what an option means there is believed.
        merged |= {name: own[name] for name in own if name in chosen and hasattr(own[name].annotation, "__metadata__")}
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in merged.values()]
        vars(called)["__signature__"] = inspect.Signature(keywords)
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
        return called

    return decorate


def _hidden(parameter: inspect.Parameter) -> inspect.Parameter:
    """The same option, which `--help` does not show."""
    kind, option = get_args(parameter.annotation)
    unseen = copy.copy(option)
    unseen.hidden = True
    return parameter.replace(annotation=Annotated[kind, unseen])


def _tell_unused(values: Mapping[str, Any], unused: Iterable[str], where: str) -> None:
    given = [f"--{name.replace('_', '-')}" for name in unused if values[name] is not None]
    if given:
        does = "does" if len(given) == 1 else "do"
        say(f"warning: {', '.join(given)} {does} nothing here; {where}", error=True)


def seconds_of(text: str, option: str) -> float:
    """Seconds that a text like 90, 30s, 10m or 2h means; raises `ConfigError` naming the option."""
    from collabdm.errors import ConfigError, explain

    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smh]?)", text.strip())
    if match is None:
        raise ConfigError(explain(option, got=text, expected="a time such as 30s, 10m or 2h", fix="give it so"))
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def bytes_of(text: str, option: str) -> int:
    """Bytes that a text like 800000, 800kB or 4.5MB means; raises `ConfigError` naming the option."""
    from collabdm.errors import ConfigError, explain

    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?) ?([kKmMgG]?)[bB]?", text.strip())
    if match is None:
        raise ConfigError(explain(option, got=text[:80], expected="a size such as 800kB or 4.5MB", fix="give it so"))
    return round(float(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[match[2].lower()])


def unlisted(names: Sequence[str]) -> str:
    """Names as an option takes them: what `listed` reads as these again."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def listed(text: str) -> list[str]:
    """The parts of a comma-separated text, without surrounding spaces; one in double quotes may hold commas."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [part.strip() for row in rows for part in row if part.strip()]
