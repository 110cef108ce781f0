"""`collabdm export`: a distilled set in another format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from typer import Option

from collabdm.cli.folders import check_new
from collabdm.cli.options import Force, Json
from collabdm.cli.output import print_facts, print_json
from collabdm.cli.product import SetPath, load_set
from collabdm.errors import ConfigError, explain

if TYPE_CHECKING:
    from collabdm.distilled.set import DistilledSet

__all__ = ["export"]

Format = Literal["images", "csv", "parquet", "folder", "npz", "huggingface", "pt", "safetensors"]
# Of each kind of samples what some formats are not for; the folder of images is called images too.
_NONE = {"images": ("csv", "parquet"), "tables": ("images",), "series": ("images", "csv")}


def export(
    path: SetPath,
    out: Annotated[Path, Option(help="The file or folder to write.")],
    format: Annotated[
        Format,
        Option(
            help="images: PNG folders; csv, parquet: one file; folder: what such samples have as files; npz: arrays x, "
            "y, classes; huggingface: a folder for datasets.load_dataset; pt: tensors; safetensors: the exact set."
        ),
    ],
    expanded: Annotated[
        bool, Option("--expanded", help="safetensors: write what the tiles unfold to, as all other formats do.")
    ] = False,
    float32: Annotated[
        bool, Option("--float32", help="npz: the pixels of images as floats, neither rounded nor clipped.")
    ] = False,
    licence: Annotated[
        str | None, Option("--licence", "--license", help="huggingface: the card's licence, such as cc-by-4.0.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a distilled set in another format; --dataset reads each of them."""
    from collabdm.distilled.exporting import npz_bytes, torch_bytes, write_hub_folder
    from collabdm.storage.files import write_atomically

    _check_options(format, float32=float32, licence=licence)
    check_new(out, force=force)
    distilled = load_set(path)
    _check_format(format, distilled)
    chosen = distilled if format == "safetensors" and not expanded else distilled.expanded()
    match format:
        case "images" | "folder":
            chosen.to_folder(out)
        case "csv" | "parquet":
            write_atomically(out, chosen.to_file(format))
        case "npz":
            write_atomically(out, npz_bytes(chosen, float32=float32))
        case "huggingface":
            write_hub_folder(chosen, out, licence=licence)
        case "pt":
            write_atomically(out, torch_bytes(chosen))
        case "safetensors":
            write_atomically(out, chosen.to_bytes())
    facts = {"format": format, chosen.sample.plural: len(chosen), "classes": len(chosen.classes)}
    print_json(facts | {"path": str(out)}) if json else print_facts(f"exported: {out}", facts)


def _check_options(format: str, *, float32: bool, licence: str | None) -> None:
    """Refuse an option that the format has no use for."""
    for option, given, own in (("--float32", float32, "npz"), ("--licence", licence is not None, "huggingface")):
        if given and format != own:
            expected, fix = f"--format {own}", "leave it out"
            raise ConfigError(explain(option, got=f"--format {format}", expected=expected, fix=fix))


def _check_format(format: str, distilled: "DistilledSet") -> None:
    kind, plural = distilled.sample.kind, distilled.sample.plural
    none = _NONE.get(kind, ("images", "csv", "parquet"))
    if format in none:
        instead = "images (PNG files)" if kind == "images" else f"folder (the files that {plural} have)"
        expected = f"one of {', '.join(one for one in get_args(Format) if one not in none)}"
        raise ConfigError(explain("--format", got=f"{format} for {plural}", expected=expected, fix=f"pass {instead}"))
