"""`collabdm schema`: propose the declared columns of a table."""

import shlex
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from collabdm.cli.folders import check_new
from collabdm.cli.options import Force, Json, listed, unlisted
from collabdm.cli.output import print_facts, print_json, print_next, say

__all__ = ["schema"]


def schema(
    file: Annotated[str, Argument(metavar="FILE", help="A table: .csv, .tsv, .parquet, a folder of them, a hub name.")],
    label: Annotated[str | None, Option(help="The column of labels; else the one that is usually called so.")] = None,
    ignore: Annotated[str | None, Option(help="Columns not to learn from, a,b,c (a site, a time, an id).")] = None,
    out: Annotated[Path, Option(help="The schema file to write.")] = Path("schema.json"),
    force: Force = False,
    json: Json = False,
) -> None:
    """Propose a table's columns, for a person to edit.

    In one round nothing can be scaled by pooled data, so the plan declares every column: numbers with a range (linear,
    or asinh where tails are heavy), categories with their levels, and whether values may be missing. The ranges are
    those of this file, widened and rounded; widen them further where other sites may have more. Then:
    collabdm plan --schema FILE --classes a,b,c --clients x,y --out plan.json
    """
    from collabdm.data.tabular.labels import classes_of, label_column, texts_of_labels
    from collabdm.data.tabular.reader import proposed_for, raw_tables
    from collabdm.data.tabular.schema import schema_bytes
    from collabdm.storage.files import write_atomically

    check_new(out, force=force)
    tables = raw_tables(file)
    raw = tables.get("train", next(iter(tables.values())))
    name = label_column(raw, label)
    classes = classes_of(raw.source, name, texts_of_labels(raw, name))
    proposed, remarks = proposed_for(raw, name, ignore=listed(ignore) if ignore is not None else ())
    write_atomically(out, schema_bytes(proposed))
    kinds = [column.kind for column in proposed.columns]
    facts = {
        "rows": len(raw),
        "numeric": kinds.count("numeric"),
        "categorical": kinds.count("categorical"),
        "label": name,
        "classes": list(classes),
    }
    for line in remarks:
        say(line, error=True)
    if json:
        print_json(facts | {"remarks": remarks, "file": str(out)})
    else:
        print_facts(f"schema: {out}", facts)
        asked = ["collabdm", "plan", "--schema", str(out), "--classes", unlisted(classes)]
        step = f"{shlex.join(asked)} --clients NAME,NAME --method collabdm --out plan.json"
        print_next("for the server's operator, once people have looked at it and named the classes of all sites", step)
