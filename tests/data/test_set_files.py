"""What a file is is found out without reading what others have in it."""

from pathlib import Path
from zipfile import is_zipfile

import pytest
import torch

from collabdm.data import load_samples
from collabdm.data.set_files import kind_of_set_file
from collabdm.distilled import as_data


def test_tensors_of_others_are_not_read_to_find_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "theirs.pt"
    images = torch.randint(256, (6, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    torch.save({"images": images, "labels": torch.arange(6) % 2}, path)

    def read(path: Path) -> str:
        raise AssertionError("read whole")

    monkeypatch.setattr(as_data, "kind_of_set", read)
    assert kind_of_set_file(str(path)) is None
    assert len(load_samples(str(path))) == 6


@pytest.mark.parametrize("name", ["broken.pt", "broken.npz"])
def test_of_a_broken_file_nothing_is_said(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    torch.save({"sample": "{}"}, path)
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\xff\xff"))
    assert is_zipfile(path)
    assert kind_of_set_file(str(path)) is None
