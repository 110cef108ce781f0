"""Reading a `.pt` that may be anyone's: tensors, in dictionaries, lists and tuples, and nothing else.

Such a file is a pickle. Torch's weights-only reader builds tensors and plain values alone, and calls nothing that the
file names; what it would unpack or blow up in memory is looked at first.
"""

import re
import zipfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from collabdm.errors import DataError, explain
from collabdm.storage.reading import opened_regular

__all__ = ["MOST_BYTES", "is_torch_file", "tree_in"]

MOST_BYTES = 8 * 2**30
"""Of what such a file holds."""

_MOST_DEEP = 8
_FIX = "save plain tensors: torch.save({'images': images, 'labels': labels}, PATH)"


def is_torch_file(path: Path) -> bool:
    """Whether the name is one that people give to what `torch.save` wrote."""
    return path.suffix.lower() in (".pt", ".pth")


def tree_in(path: Path) -> Any:
    """What the file holds: NumPy arrays in the dictionaries and lists (also for tuples) that it has them in; whatever
    else is there, such as numbers and text, as it is.

    Raises:
        DataError: no file of `torch.save`, or one that holds Python objects, or that is larger than it may be.
    """
    import pickle

    import torch

    try:
        with opened_regular(path) as file:
            _check_archive(path, file)
            with _numbers_allowed():
                found = torch.load(file, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]{1,80})", str(error))
        raise _refused(path, f"Python objects other than tensors{f', of {named[1]}' if named else ''}") from None
    except OSError as error:
        raise _refused(path, error.strerror or type(error).__name__) from None
    except Exception as error:
        # A hostile file breaks the reader in as many ways as there are.
        raise _refused(path, f"a file that cannot be read ({type(error).__name__})") from None
    return _plain(path, found, 0, {})


def _numbers_allowed() -> AbstractContextManager[None]:
    """Also what single NumPy numbers are made of: files of the literature list accuracies beside their tensors."""
    import torch

    kinds = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")]
    allowed = getattr(torch.serialization, "safe_globals", None)  # from torch 2.5 on
    return nullcontext() if allowed is None else allowed([np.float64(0).__reduce__()[0], np.dtype, *kinds])


def _check_archive(path: Path, file: BinaryIO) -> None:
    """Refuse what is no archive of torch's own, or holds packed bytes or too many."""
    if not zipfile.is_zipfile(file):
        # Older forms, a bare pickle and a .tar, are those by which readers were fooled before.
        raise _refused(path, "no archive as torch.save writes it since its version 1.6")
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise _refused(path, "packed members, which torch.save never writes")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise _refused(path, f"{total:,} bytes, more than {MOST_BYTES:,}")
    file.seek(0)


def _plain(path: Path, found: Any, depth: int, seen: dict[int, Any]) -> Any:
    """`seen`: what was made of each object by its id, so that lists of one list, again and again, cost nothing."""
    from torch import Tensor

    if depth > _MOST_DEEP:
        raise _refused(path, f"lists within lists, more than {_MOST_DEEP} deep")
    if id(found) in seen:
        return seen[id(found)]
    if isinstance(found, Tensor):
        made: Any = _array(path, found)
    elif isinstance(found, dict):
        made = {str(key): _plain(path, value, depth + 1, seen) for key, value in found.items()}
    elif isinstance(found, list | tuple):
        made = [_plain(path, value, depth + 1, seen) for value in found]
    else:
        return found
    seen[id(found)] = made
    return made


def _array(path: Path, tensor: Any) -> np.ndarray:
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.device.type != "cpu":
        raise _refused(path, f"a tensor of another kind ({tensor.layout}, {tensor.dtype}, {tensor.device})")
    # A view that repeats one number a thousand million times takes no bytes in a file, and all the memory there is.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise _refused(path, f"a tensor {list(tensor.shape)} of which the file holds but a part")
    kept = tensor.detach()
    return (kept.float() if kept.dtype in (torch.bfloat16, torch.float16) else kept).contiguous().numpy()


def _refused(path: Path, got: str) -> DataError:
    expected = "a file of torch.save that holds tensors alone, in dictionaries, lists or tuples"
    return DataError(explain(f"set {path}", got=got, expected=expected, fix=_FIX))
