"""`collabdm flows to-images` and `collabdm flows generate`: from network flows to a data set of images.

`to-table` is in `collabdm.cli.flows_table`.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from collabdm.cli.flows_shown import check_flows_folder, shown_reading, told_flows
from collabdm.cli.folders import check_new
from collabdm.cli.options import Force, Json
from collabdm.cli.output import print_facts, print_json, print_table
from collabdm.cli.screens import CommandScreen, GroupScreen
from collabdm.errors import explain, printable, told

if TYPE_CHECKING:
    from collabdm.data.flows.images import ImageSettings

__all__ = ["TEST", "Schema", "flows", "generate", "to_images"]

flows = typer.Typer(
    cls=GroupScreen,
    help="Network flows: CSV files to images or to a table, and made-up flows for trying it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TEST = 0.2

Schema = Annotated[str, Option(help="The file's columns: 5g-nidd, unsw-nb15, argus or a JSON file.")]


@flows.command("to-images", cls=CommandScreen)
def to_images(
    source: Annotated[
        Path,
        Argument(metavar="IN", help="A labelled CSV of flows, also packed: .gz, .bz2, .xz, .zip.", show_default=False),
    ],
    schema: Schema,
    out: Annotated[Path, Option(help="The folder to write.")],
    side: Annotated[int | None, Option(help="Pixels per side; the schema's by default.")] = None,
    flows_per_image: Annotated[int | None, Option(help="Flows per window; the schema's by default.")] = None,
    layout: Annotated[
        Literal["flat", "rows"], Option(help="Flow after flow (the paper's), or one flow per image row.")
    ] = "flat",
    window: Annotated[
        Literal["pure", "time"],
        Option(help="Flows of one type (the paper's), or consecutive ones of any."),
    ] = "pure",
    by: Annotated[Literal["station", "host"], Option(help="Whose consecutive flows make a window.")] = "station",
    attack_share: Annotated[float, Option(help="The share of attack flows that makes a time window an attack.")] = 0.1,
    keep_leaking: Annotated[bool, Option("--keep-leaking", help="Keep columns that leak the label.")] = False,
    test: Annotated[
        float | None, Option(help="The share of each stream's windows kept for testing; 0.2 by default.")
    ] = None,
    test_file: Annotated[
        Path | None, Option(help="The official test file: it is for testing, and all of IN for training.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a data set of images from a CSV of flows.

    Then, for example: collabdm simulate --dataset OUT --partition by-column --set partition.column=station
    """
    out = out.resolve()
    check_flows_folder(out, force=force)
    settings = _settings(
        schema,
        side=side,
        flows_per_image=flows_per_image,
        layout=layout,
        window=window,
        by=by,
        attack_share=attack_share,
        keep_leaking=keep_leaking,
    )
    started = time.perf_counter()
    facts = _made(source, settings, out, test=test, test_file=test_file, force=force)
    seconds = time.perf_counter() - started
    if json:
        print_json({"path": str(out), "seconds": seconds, **facts})
        return
    print_facts(f"images of flows: {out}", _shown(facts, settings, seconds))
    print_table(*_table(facts["windows"]))


@flows.command(cls=CommandScreen)
def generate(
    out: Annotated[Path, Option(help="The CSV to write.")],
    schema: Annotated[Literal["5g-nidd"], Option(help="Whose columns, levels, classes and gaps to copy.")] = "5g-nidd",
    rows: Annotated[
        int | None, Option(help="Flows in all, in the same proportions; by default the real file's 1,215,890.")
    ] = None,
    seed: Annotated[int, Option(help="The seed that all draws follow from.")] = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write SYNTHETIC flows in the form of 5G-NIDD's Combined.csv, for tests and demonstrations.

    They are not 5G-NIDD: no result on them says anything about it.
    """
    from collabdm.data.flows.synthetic import full_blocks, scaled, write_flows

    check_new(out, force=force)
    blocks = full_blocks() if rows is None else scaled(full_blocks(), rows)
    facts = write_flows(out, blocks=blocks, seed=seed)
    if json:
        print_json({"path": str(out), **facts})
        return
    print_facts(f"SYNTHETIC flows, not {schema}: {out}", {"note": facts["note"]})
    stations = facts["flows"]
    levels = sorted({level for counts in stations.values() for level in counts})
    rows_shown = [(level, *(str(counts.get(level, 0)) for counts in stations.values())) for level in levels]
    print_table(("type", *(f"station {name}" for name in stations)), rows_shown)


def _made(
    source: Path, settings: "ImageSettings", out: Path, *, test: float | None, test_file: Path | None, force: bool
) -> dict[str, Any]:
    """Make and write the images, and tell what there is to know of them; returns what `flows.json` holds."""
    from collabdm.data.flows.dataset import images_of, save_images
    from collabdm.data.flows.synthetic import is_synthetic

    share = (TEST if test_file is None else 0.0) if test is None else test
    made = images_of(source, settings, test_share=share, test_path=test_file)
    files = [source] if test_file is None else [source, test_file]
    origin: dict[str, Any] = {"file": source.name, "synthetic": any(map(is_synthetic, files))}
    if test_file is not None:
        origin["test_file"] = test_file.name
    facts = save_images(made, out, source=origin, replace=force)
    for note in facts["notes"]:
        print(f"warning: {printable(note)}", file=sys.stderr)
    return facts


def _settings(schema: str, *, side: int | None, flows_per_image: int | None, **chosen: Any) -> "ImageSettings":
    from pydantic import ValidationError

    from collabdm.data.flows.images import ImageSettings
    from collabdm.data.flows.schema import load_schema
    from collabdm.errors import ConfigError

    loaded = load_schema(schema)
    given = {
        "flow_schema": loaded,
        "side": loaded.side if side is None else side,
        "flows_per_image": loaded.flows_per_image if flows_per_image is None else flows_per_image,
    }
    try:
        return ImageSettings.model_validate(given | chosen)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        fix = f"give {option} another value"
        raise ConfigError(explain(option, got=first["input"], expected=told(first), fix=fix)) from None


def _shown(facts: Mapping[str, Any], settings: "ImageSettings", seconds: float) -> dict[str, object]:
    size = settings.flows_per_image
    leaking = len(settings.flow_schema.features(keep_leaking=True)) - len(settings.flow_schema.features())
    return {
        **told_flows(facts, seconds),
        "images": f"{settings.side}x{settings.side}, {settings.layout}, {settings.window} windows of {size} flows",
        "features": f"{facts['features']}, {leaking} leaking ones {'kept' if settings.keep_leaking else 'left out'}",
        "not shown": f"{size - facts['flows_seen']:g} of {size} flows" if facts["flows_seen"] < size else "",
        **shown_reading(facts),
    }


def _table(counts: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Windows by part and station, a column for each class."""
    classes = list(counts["total"])
    rows = [
        (f"{part}, {site}", *(str(counts[part][name][site]) for name in classes))
        for part in ("train", "test")
        for site in counts[part][classes[0]]
    ]
    return ("windows", *classes), [*rows, ("all", *(str(counts["total"][name]) for name in classes))]
