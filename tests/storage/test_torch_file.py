"""Files of torch.save as strangers send them: tensors come back, and nothing that a file names is ever called."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.errors import DataError
from collabdm.storage.torch_file import tree_in


class Hostile:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def saved(tmp_path: Path, value: object, **options: Any) -> Path:
    path = tmp_path / "set.pt"
    torch.save(value, path, **options)
    return path


def test_tensors_come_back_in_what_holds_them(tmp_path: Path) -> None:
    images, half = torch.arange(24.0).reshape(2, 3, 2, 2), torch.tensor([0.5, 1.5], dtype=torch.bfloat16)
    accuracies = [np.float64(0.5), np.float32(0.25), 3]
    tree = tree_in(saved(tmp_path, {"data": [[images, half]], "accs": accuracies, "note": "of a paper"}))
    assert tree["accs"] == [0.5, 0.25, 3]
    assert tree["note"] == "of a paper"
    np.testing.assert_array_equal(tree["data"][0][0], images.numpy())
    np.testing.assert_array_equal(tree["data"][0][1], np.array([0.5, 1.5], np.float32))


def test_a_view_gives_its_own_numbers(tmp_path: Path) -> None:
    view = torch.arange(100.0).reshape(10, 10)[:, 3:5].requires_grad_()
    np.testing.assert_array_equal(tree_in(saved(tmp_path, view)), view.detach().numpy())


def test_nothing_that_a_file_names_is_called(tmp_path: Path) -> None:
    left = tmp_path / "left"
    for value in (Hostile(left), {"images": torch.zeros(2), "more": [Hostile(left)]}):
        with pytest.raises(DataError, match=r"Python objects other than tensors, of posix.mkdir; expected .*; fix: "):
            tree_in(saved(tmp_path, value))
    with pytest.raises(DataError, match=r"no archive as torch.save writes it"):
        tree_in(saved(tmp_path, Hostile(left), _use_new_zipfile_serialization=False))
    assert not left.exists()


@pytest.mark.parametrize(
    ("value", "mentions"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"images": np.zeros(3)}, "Python objects other than tensors"),
        (torch.zeros(1).expand(10**12), "of which the file holds but a part"),
        (torch.zeros(2, 2).to_sparse(), "a tensor of another kind"),
        (torch.zeros(2, dtype=torch.complex64), "a tensor of another kind"),
        (torch.empty(2, device="meta"), "a tensor of another kind"),
    ],
)
def test_what_is_no_plain_tensor_is_refused(value: object, mentions: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=mentions):
        tree_in(saved(tmp_path, value))


def test_lists_without_end_are_refused_at_once(tmp_path: Path) -> None:
    deep: list[Any] = []
    deep.append(deep)
    with pytest.raises(DataError, match="more than 8 deep"):
        tree_in(saved(tmp_path, deep))
    wide: list[Any] = [torch.zeros(1)]
    for _ in range(6):
        wide = [wide] * 200
    assert len(tree_in(saved(tmp_path, wide))) == 200


def test_packed_and_broken_archives_are_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path, torch.zeros(1000))
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for member in given.namelist():
            made.writestr(member, given.read(member))
    with pytest.raises(DataError, match="packed members"):
        tree_in(packed)
    content = whole.read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 30):
        (tmp_path / "cut.pt").write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"expected a file of torch.save"):
            tree_in(tmp_path / "cut.pt")
    with pytest.raises(DataError, match="a folder, not a regular file"):
        tree_in(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        tree_in(tmp_path / "none.pt")
