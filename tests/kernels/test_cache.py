"""What is kept comes back to the bit, or not at all: not with a wrong bit, nor where another could have written it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.kernels.cache import CacheError, cache_folder, keep, kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are compiled on Linux only")
NAME, BODY = "kernels-1.so", bytes(range(256)) * 5
STRANGER = 54321


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keep(tmp_path / "cache", NAME, BODY)
    return tmp_path / "cache"


def test_it_comes_back_and_is_for_this_user_only(folder: Path) -> None:
    assert kept(folder, NAME) == BODY
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert ((folder / NAME).stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    keep(folder, NAME, BODY[1:])
    assert kept(folder, NAME) == BODY[1:]
    assert kept(folder, "other.so") is None
    assert kept(folder / "nowhere", NAME) is None


@given(position=st.integers(0, len(BODY) + 31), flipped=st.integers(1, 255))
def test_any_flipped_byte_is_seen(position: int, flipped: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cache", numbered=True)
    keep(folder, NAME, BODY)
    content = bytearray((folder / NAME).read_bytes())
    content[position] ^= flipped
    (folder / NAME).write_bytes(content)
    with pytest.raises(CacheError, match="it is damaged: its checksum is wrong"):
        kept(folder, NAME)


@pytest.mark.parametrize("size", [0, 1, 31, 32, len(BODY), len(BODY) + 31])
def test_a_cut_file_is_seen(size: int, folder: Path) -> None:
    os.truncate(folder / NAME, size)
    with pytest.raises(CacheError, match="it is damaged"):
        kept(folder, NAME)


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        path.unlink()
        make(path)

    return do


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "of another name": (lambda path: keep(path.parent, "a", BODY) or (path.parent / "a").rename(path), "it is damaged"),
    "a link": (moved, "it cannot be read"),
    "a pipe": (replaced(os.mkfifo), "it is no such file"),
    "a folder": (replaced(Path.mkdir), "it is no such file"),
    "huge": (lambda path: os.truncate(path, 2**40), "it is no such file"),
    "written by the group": (lambda path: path.chmod(0o660), "it may be written by other users"),
    "written by all": (lambda path: path.chmod(0o602), "it may be written by other users"),
    "in an open folder": (lambda path: path.parent.chmod(0o777), "its folder may be written by other users"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_others_could_have_put_there_is_not_used(change: str, folder: Path) -> None:
    do, why = CHANGES[change]
    do(folder / NAME)
    with pytest.raises(CacheError, match=why):
        kept(folder, NAME)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("whose", ["file", "folder"])
def test_what_belongs_to_a_stranger_is_not_used(whose: str, folder: Path) -> None:
    os.chown(folder / NAME if whose == "file" else folder, STRANGER, STRANGER)
    with pytest.raises(CacheError, match="belongs to another user"):
        kept(folder, NAME)
    if whose == "folder":
        with pytest.raises(CacheError, match="the folder belongs to another user"):
            keep(folder, NAME, BODY)
    else:
        keep(folder, NAME, BODY)
        assert kept(folder, NAME) == BODY


def test_what_root_has_is_for_everyone_and_what_another_user_has_is_not(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
        assert kept(folder, NAME) == BODY
    else:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
        with pytest.raises(CacheError, match="belongs to another user"):
            kept(folder, NAME)


def test_an_open_folder_of_ours_is_closed(folder: Path) -> None:
    folder.chmod(0o777)
    keep(folder, NAME, BODY)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert kept(folder, NAME) == BODY


def test_what_cannot_be_kept_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=r"it cannot be written \(Not a directory\)"):
        keep(tmp_path / "file" / "cache", NAME, BODY)
    (tmp_path / "cache" / NAME / "inside").mkdir(parents=True)
    with pytest.raises(CacheError, match="it cannot be written"):
        keep(tmp_path / "cache", NAME, BODY)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [NAME]


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "collabdm"
    # By its rules, a relative one counts for nothing.
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "collabdm"

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(CacheError, match="there is no home directory"):
        cache_folder()
