"""Atomic writes: readers see the old file or the new one, and nothing stays behind."""

import os
from pathlib import Path

import pytest

from collabdm.errors import RunFolderError
from collabdm.storage.files import read_json, sweep, write_atomically, write_json


def test_writes_exactly_these_bytes_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "file.bin"
    content = bytes(range(256)) * 3
    write_atomically(path, content)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["file.bin"]


def test_replaces_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"a longer old content")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_new_content_is_complete_when_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        seen.append(source.read_bytes())
        assert source.parent == target.parent
        assert not target.exists()
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_atomically(tmp_path / "file", b"whole")
    assert seen == [b"whole"]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    kept = tmp_path / "deep" / "kept.safetensors"
    write_atomically(kept, b"kept")
    (tmp_path / "deep" / ".kept.safetensors.01ab.part").write_bytes(b"half")
    for name in (".distilled.01ab.part", ".distilled.01ab.old"):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "images" / "0.png").write_bytes(b"old")
    sweep(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    assert kept.read_bytes() == b"kept"


def test_json_comes_back(tmp_path: Path) -> None:
    for value, kind in (({"a": [1, 2.5, None, "x"]}, dict), ([], list), (3, object)):
        write_json(tmp_path / "a.json", value)
        assert read_json(tmp_path / "a.json", kind) == value


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_damaged_json_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"a\.json: got .*; expected what CollabDM writes there; fix: restore"):
        read_json(tmp_path / "a.json", dict)


@pytest.mark.parametrize(("content", "kind", "wanted"), [("[]", dict, "an object"), ("null", list, "a list")])
def test_json_of_another_kind_is_told(content: str, kind: type, wanted: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(RunFolderError, match=rf"a\.json: got .*; expected {wanted}; fix: restore"):
        read_json(tmp_path / "a.json", kind)
