"""`collabdm demo`: a few methods on small data that need no download, one demonstration for each kind of data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from collabdm.cli.options import Force, Json, Quiet, Resume
from collabdm.cli.simulate import comparison
from collabdm.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from collabdm.config import Config

__all__ = ["DEMOS", "Demo", "demo"]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Settings over the preset `demo`, by dotted key, and the methods compared (none: the usual ones)."""

    settings: Mapping[str, Any]
    methods: Sequence[str] | None = None

    @property
    def config(self) -> "Config":
        """The settings of all its methods."""
        from collabdm.config import load_config

        return load_config(preset="demo", options=self.settings)


# Public data, shared unevenly among five clients; what is compared shows what the round adds, and what bounds it.
DEMOS: dict[str, Demo] = {
    "images": Demo(settings={}),
    "tables": Demo(
        settings={
            "dataset": "wine",
            "method": "collabdm",
            "ipc": 2,
            "local.method": "kmeans",
            "evaluate.networks": ("mlp", "knn", "logistic"),
        },
        methods=("random-real", "fed-kmeans", "k-fed", "collabdm", "central-kmeans", "full-data"),
    ),
    "series": Demo(
        settings={
            "dataset": "series:digits",
            "method": "collabdm",
            "ipc": 2,
            "plan.seeds": 20,
        },
        methods=("random-real", "local-dm", "collabdm", "full-data"),
    ),
}


def demo(
    modality: Annotated[str, Option(help=f"The kind of data: {', '.join(DEMOS)}.")] = "images",
    out: Annotated[
        Path | None, Option(help="The folder to write; runs/demo, or runs/demo-MODALITY, by default.")
    ] = None,
    force: Force = False,
    resume: Resume = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare a few methods on small data of one kind; nothing is downloaded.

    Images: scikit-learn's digits; tables: its measurements of wine; series: the digits, read row after row.
    """
    if modality not in DEMOS:
        raise ConfigError(unknown_name("--modality", modality, DEMOS))
    chosen = DEMOS[modality]
    folder = Path("runs") / ("demo" if modality == "images" else f"demo-{modality}") if out is None else out
    comparison(chosen.config, chosen.methods, folder, force=force, resume=resume, quiet=quiet, json=json)
