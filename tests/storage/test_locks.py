import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from collabdm.errors import FolderBusyError, RunFolderError
from collabdm.storage import locks
from collabdm.storage.locks import LOCK, door, has_content, is_locked, locked

HOLD = """
import sys
from pathlib import Path
from collabdm.storage.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
BUSY = "another run at work there; expected none; fix: wait"


def holding(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def refused(folder: Path) -> str:
    with pytest.raises(RunFolderError) as caught, locked(folder):
        pytest.fail("held twice")
    return str(caught.value)


def test_a_folder_is_held_by_one_process_and_free_after_it_was_killed(tmp_path: Path) -> None:
    with holding(tmp_path / "run") as process:
        assert BUSY in refused(tmp_path / "run")
        assert (tmp_path / "run" / LOCK).exists()
        process.kill()
        process.wait()
    assert (tmp_path / "run" / LOCK).exists()
    with locked(tmp_path / "run"):
        pass
    assert not (tmp_path / "run" / LOCK).exists()


@pytest.mark.parametrize(("held", "asked"), [("a", "a/b/c"), ("a/b/c", "a")])
def test_of_folders_within_each_other_one_is_worked_in(held: str, asked: str, tmp_path: Path) -> None:
    with locked(tmp_path / held):
        assert f"{tmp_path / held}: got another run" in refused(tmp_path / asked)
        with locked(tmp_path / "beside"):
            pass
    with locked(tmp_path / asked):
        pass


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "run"):
        assert not has_content(tmp_path / "new" / "run")
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "new" / "run"):
        (tmp_path / "new" / "run" / "x").touch()
    assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == ["x"]


def test_a_folder_that_takes_the_place_of_a_held_one_can_be_held_too(tmp_path: Path) -> None:
    folder, aside = tmp_path / "run", tmp_path / "aside"
    with locked(folder):
        folder.rename(aside)
        with locked(folder):
            assert BUSY in refused(folder)
            assert BUSY in refused(aside)
            (folder / "x").touch()
        assert not (folder / LOCK).exists()


def test_a_lock_that_is_not_ours_is_neither_emptied_nor_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / LOCK).write_text("precious")
    with locked(tmp_path / "a"):
        pass
    assert (tmp_path / "a" / LOCK).read_text() == "precious"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match=r"lock: got .*; expected a file of ours"), locked(tmp_path / "b"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_or_a_pipe_is_no_folder_to_hold(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "a file; expected a folder" in refused(tmp_path / "file")
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / LOCK)
    with locked(tmp_path / "run"):  # opened without waiting for a writer, and locked as a file is
        pass


def test_who_shares_a_folder_keeps_out_who_wants_it_alone_and_holds_folders_within(tmp_path: Path) -> None:
    run, above = tmp_path / "all" / "run", tmp_path / "all"
    with locked(run, shared=True):
        with locked(run, shared=True), locked(run / "cell"):
            assert f"{run / 'cell'}: got another run" in refused(run / "cell")
            assert is_locked(run / "cell")
        assert not is_locked(run / "cell")
        # The one that left took nobody's lock with it.
        assert BUSY in refused(run)
        assert f"{run}: got another run" in refused(above)
        assert not is_locked(run)
        (run / "x").touch()
    assert [path.name for path in run.iterdir()] == ["x"]
    with locked(run):
        with pytest.raises(FolderBusyError), locked(run, shared=True):
            pytest.fail("shared what is held alone")
        assert is_locked(run)


def test_at_the_door_they_come_one_after_another_and_whoever_hangs_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def second() -> None:
        with door(tmp_path):
            order.append("second")

    with door(tmp_path):
        thread = Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    with door(tmp_path), pytest.raises(FolderBusyError, match="held by another process for 0 s; expected"):
        second()
