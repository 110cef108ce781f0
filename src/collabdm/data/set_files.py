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
_MOST_NAMES = 2**24


def kind_of_set_file(source: str) -> str | None:
    """The modality of a distilled set in a file that `export` wrote; None where the source is anything else."""
    path = Path(source).expanduser()
    if not path.is_file():
        return None
    ours = path.suffix == ".safetensors"
    if (path.suffix == ".npz" or is_torch_file(path)) and is_zipfile(path):
        # Of a broken file its own reader says what is wrong.
        with suppress(BadZipFile, OSError, ValueError, NotImplementedError), ZipFile(path) as archive:
            ours = _may_describe(archive)
    return resolved_entry(_KIND_OF_SET)(path) if ours else None


def _may_describe(archive: ZipFile) -> bool:
    """Whether an archive names a description of samples, as ours do: tensors of others are not read to find out."""
    for name in archive.namelist():
        if name == "sample.npy":
            return True
        if name.endswith("/data.pkl"):
            # What torch.save wrote: names stand in it as they are.
            with archive.open(name) as names:
                return b"sample" in names.read(_MOST_NAMES)
    return False
