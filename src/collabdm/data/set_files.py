"""Distilled sets in files of their own, among the sources of data.

What reads them stands above this room, since a set is more than its samples.
"""

from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

from collabdm.registry import resolved_entry
from collabdm.storage.torch_file import is_torch_file

__all__ = ["READ_SET", "kind_of_set_file"]

READ_SET = "collabdm.distilled.as_data:read_set"
_KIND_OF_SET = "collabdm.distilled.as_data:kind_of_set"


def kind_of_set_file(source: str) -> str | None:
    """The modality of a distilled set in a file that `export` wrote; None where the source is anything else."""
    path = Path(source).expanduser()
    if not path.is_file():
        return None
    ours = path.suffix == ".safetensors" or is_torch_file(path)
    if path.suffix == ".npz" and is_zipfile(path):
        # Of a broken file its own reader says what is wrong.
        with suppress(BadZipFile, OSError, ValueError, NotImplementedError), ZipFile(path) as archive:
            ours = "sample.npy" in archive.namelist()
    return resolved_entry(_KIND_OF_SET)(path) if ours else None
