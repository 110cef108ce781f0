"""Kernels are compiled once and kept; what was kept is run only where it is ours and whole."""

from pathlib import Path

import pytest

from collabdm.kernels.library import _loaded, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="the kernels need a C++ compiler")
loaded = _loaded.__wrapped__


def test_the_library_is_built_once_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made, remark = loaded()
    assert made is not None
    assert made.first_forward_float32
    assert remark is None
    (built,) = (tmp_path / "collabdm").iterdir()
    before = built.stat()
    assert (before.st_mode & 0o777, built.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    again, remark = loaded()
    assert again is not None
    assert remark is None
    assert [one.stat().st_mtime_ns for one in built.parent.iterdir()] == [before.st_mtime_ns]
    whole = built.read_bytes()
    built.write_bytes(whole[: len(whole) // 2])
    mended, remark = loaded()
    assert mended is not None
    assert mended.first_forward_float32
    expected = f"our kernels were compiled again: {built} is not used, as it is damaged: its checksum is wrong"
    assert remark == expected
    assert len(built.read_bytes()) == len(whole)


@pytest.mark.slow
def test_without_a_place_to_keep_them_kernels_are_for_one_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    made, remark = loaded()
    assert made is not None
    assert remark is not None
    assert remark.startswith("our kernels")
    assert len(remark.splitlines()) == 1
    assert (tmp_path / "file").read_text() == "no folder"


def test_without_a_compiler_there_are_no_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert loaded() == (None, None)


def test_a_compiler_that_fails_leaves_nothing_and_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo broken 1.0 && exit 0\necho no such flag >&2\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert loaded() == (None, f"{broken} cannot compile our kernels: no such flag")
    assert not (tmp_path / "cache").exists()
