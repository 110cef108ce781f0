"""`collabdm export`: a distilled set in another format."""

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from collabdm.cli.folders import check_new
from collabdm.cli.options import Force, Json
from collabdm.cli.output import print_facts, print_json
from collabdm.cli.product import SetPath, load_set

if TYPE_CHECKING:
    from collabdm.distilled.set import DistilledSet

__all__ = ["export"]


def export(
    path: SetPath,
    out: Annotated[Path, Option(help="The file or folder to write.")],
    format: Annotated[
        Literal["images", "csv", "parquet", "folder", "npz", "huggingface", "safetensors"],
        Option(
            help="PNG folders; a table as one file; a folder of what such samples have as files; arrays x, y, classes; "
            "a folder for datasets.load_from_disk; or the exact floats."
        ),
    ],
    expanded: Annotated[
        bool, Option("--expanded", help="safetensors: write what the tiles unfold to, as all other formats do.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a distilled set in another format."""
    from collabdm.storage.files import write_atomically

    check_new(out, force=force)
    distilled = load_set(path)
    chosen = distilled if format == "safetensors" and not expanded else distilled.expanded()
    match format:
        case "images" | "folder":
            chosen.to_folder(out)
        case "csv" | "parquet":
            write_atomically(out, chosen.to_file(format))
        case "npz":
            write_atomically(out, _npz(chosen))
        case "huggingface":
            _save_huggingface(chosen, out)
        case "safetensors":
            write_atomically(out, chosen.to_bytes())
    facts = {"format": format, chosen.sample.plural: len(chosen), "classes": len(chosen.classes)}
    print_json(facts | {"path": str(out)}) if json else print_facts(f"exported: {out}", facts)


def _npz(chosen: "DistilledSet") -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **chosen.to_arrays())
    return buffer.getvalue()


def _save_huggingface(chosen: "DistilledSet", out: Path) -> None:
    from collabdm.data.quiet import quietly

    building = out.with_name(f".{out.name}.part")
    try:
        with quietly():
            chosen.to_huggingface().save_to_disk(building)
        building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
