"""`collabdm flows to-table`: from network flows to a table of them, a row each."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from collabdm.cli.flows import TEST, Schema
from collabdm.cli.flows_shown import check_flows_folder, shown_reading, told_flows
from collabdm.cli.options import Force, Json
from collabdm.cli.output import print_facts, print_json, print_table
from collabdm.errors import printable

if TYPE_CHECKING:
    from collabdm.data.flows.rows import RowSettings

__all__ = ["to_table"]


def to_table(
    source: Annotated[
        Path,
        Argument(metavar="IN", help="A labelled CSV of flows, also packed: .gz, .bz2, .xz, .zip.", show_default=False),
    ],
    schema: Schema,
    out: Annotated[Path, Option(help="The folder to write.")],
    keep_leaking: Annotated[bool, Option("--keep-leaking", help="Keep columns that leak the label.")] = False,
    test: Annotated[
        float | None, Option(help="The share of each stream's flows kept for testing; 0.2 by default.")
    ] = None,
    test_file: Annotated[
        Path | None, Option(help="The official test file: it is for testing, and all of IN for training.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a table from a CSV of flows: a flow is a row.

    The columns are those that `to-images` shows, declared in OUT/schema.json. Then, for example:
    collabdm simulate --dataset OUT --site station --method collabdm
    """
    from collabdm.data.flows.rows import RowSettings
    from collabdm.data.flows.schema import load_schema
    from collabdm.data.flows.synthetic import is_synthetic
    from collabdm.data.flows.table import save_table, table_of

    out = out.resolve()
    check_flows_folder(out, force=force)
    settings = RowSettings(flow_schema=load_schema(schema), keep_leaking=keep_leaking)
    started = time.perf_counter()
    share = (TEST if test_file is None else 0.0) if test is None else test
    made = table_of(source, settings, test_share=share, test_path=test_file)
    files = [source] if test_file is None else [source, test_file]
    origin: dict[str, Any] = {"file": source.name, "synthetic": any(map(is_synthetic, files))}
    if test_file is not None:
        origin["test_file"] = test_file.name
    facts = save_table(made, out, source=origin, replace=force)
    seconds = time.perf_counter() - started
    for note in facts["notes"]:
        print(f"warning: {printable(note)}", file=sys.stderr)
    if json:
        print_json({"path": str(out), "seconds": seconds, **facts})
        return
    print_facts(f"table of flows: {out}", _shown(facts, settings, seconds))
    counts = facts["flows"]
    classes = list(counts["total"])
    rows = [
        (f"{part}, {site}", *(str(counts[part][name][site]) for name in classes))
        for part in ("train", "test")
        for site in counts[part][classes[0]]
    ]
    print_table(("flows", *classes), [*rows, ("all", *(str(counts["total"][name]) for name in classes))])


def _shown(facts: Mapping[str, Any], settings: "RowSettings", seconds: float) -> dict[str, object]:
    leaking = len(settings.flow_schema.features(keep_leaking=True)) - len(settings.flow_schema.features())
    kinds = [column.kind for column in settings.table.columns]
    return {
        **told_flows(facts, seconds),
        "columns": f"{kinds.count('numeric')} numeric, {kinds.count('categorical')} categorical; "
        f"{leaking} leaking ones {'kept' if settings.keep_leaking else 'left out'}",
        "label": facts["label_column"],
        "stations": facts["station_column"],
        **shown_reading(facts),
    }
