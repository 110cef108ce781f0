"""Work on several processes: the same results, whatever the caller's script is, and one line where a process dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from collabdm.engine.processes import in_processes
from collabdm.errors import DataError, WorkerError
from collabdm.networks import NETWORKS
from collabdm.registry import TABLES, Table, added_entries, resolved_entry

# A worker imports torch: each test starts as few as it can.


def done_there(item: Any) -> Any:
    """What a worker is asked, by the kind of the item."""
    if item == "network":
        return NETWORKS["tiny"].__name__
    if item == "print":
        print("text that is no answer", flush=True)
        os.write(1, b"nor is this\n")
    if item == "data":
        raise DataError("one line: got this; expected that; fix: mend it")
    if item == "bug":
        raise KeyError("a bug")
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if isinstance(item, float):
        time.sleep(item)
    return item, os.getpid()


def tiny() -> None:
    """Stands for a network that a user entered."""


def test_results_come_in_order_from_processes_that_know_what_was_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "tiny", tiny)
    tensor = torch.arange(3.0)
    items = [0.3, "print", 2, tensor, "network", "data"]
    results = in_processes(done_there, items, 2, tell=pytest.fail)
    found = [next(results) for _ in range(5)]
    with pytest.raises(DataError, match=r"^one line: got this; expected that; fix: mend it$"):
        next(results)
    assert [one[0] for one in found[:3]] == items[:3]
    assert torch.equal(found[3][0], tensor)
    assert found[4] == "tiny"
    pids = {one[1] for one in found[:4]}
    assert len(pids) == 2
    assert os.getpid() not in pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("item", ["die", pytest.param("bug", marks=pytest.mark.slow)])
def test_a_worker_that_dies_is_told_in_one_line_and_a_bug_with_where_it_is(item: str) -> None:
    if item == "die":
        expected = "worker process: got one that was ended by SIGKILL; expected its result; fix: free some memory"
        with pytest.raises(WorkerError) as error:
            list(in_processes(done_there, [item], 2))
        assert str(error.value).startswith(expected)
        assert len(str(error.value).splitlines()) == 1
    else:
        with pytest.raises(KeyError, match="a bug") as bug:
            list(in_processes(done_there, [item], 2))
        assert "done_there" in bug.value.__notes__[0]


def test_what_cannot_be_sent_is_done_here_and_told_once() -> None:
    told: list[str] = []
    assert list(in_processes(lambda i: (i, os.getpid()), range(5), 2, tell=told.append)) == [
        (i, os.getpid()) for i in range(5)
    ]
    (line,) = told
    assert line.startswith("one process does all the work, as another cannot be sent what is entered or given here:")


def test_an_entry_that_cannot_be_sent_keeps_the_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "tiny", lambda: None)
    told: list[str] = []
    assert list(in_processes(done_there, [1, 2], 2, tell=told.append)) == [(1, os.getpid()), (2, os.getpid())]
    assert len(told) == 1


def test_one_process_is_this_one() -> None:
    assert list(in_processes(lambda i: i + 1, range(3), 1)) == [1, 2, 3]


def test_the_tables_whose_entries_are_sent_are_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(isinstance(resolved_entry(where), Table) for where in TABLES)
    assert added_entries() == {}
    monkeypatch.setitem(NETWORKS, "tiny", tiny)
    monkeypatch.setitem(NETWORKS, "vgg11", tiny)
    assert added_entries() == {"collabdm.networks:NETWORKS": {"tiny": tiny, "vgg11": tiny}}


SCRIPT = """
open({ran!r}, "a").write("once\\n")
import os
from collabdm.engine.processes import in_processes

def own(i):
    return i, os.getpid()

print([one == (i, os.getpid()) for i, one in enumerate(in_processes(own, range(3), 2, tell=print))])
print(list(in_processes(len, ["", "a", "bb"], 2, tell=print)))
"""


SLOW = pytest.mark.slow


@pytest.mark.parametrize("way", ["file", pytest.param("-c", marks=SLOW), pytest.param("-", marks=SLOW)])
def test_a_script_without_a_main_guard_runs_once(way: str, tmp_path: Path) -> None:
    ran, script = tmp_path / "ran", tmp_path / "script.py"
    text = SCRIPT.format(ran=str(ran))
    script.write_text(text)
    given = {"file": [str(script)], "-c": ["-c", text], "-": ["-"]}[way]
    shown = text if way == "-" else None
    done = subprocess.run([sys.executable, *given], input=shown, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    line, own, lengths = done.stdout.splitlines()
    assert line == (
        "one process does all the work, as another cannot be sent 'own', which is of the script or notebook itself "
        "(put it into a module of its own and import that)"
    )
    assert (own, lengths) == ("[True, True, True]", "[0, 1, 2]")
    assert ran.read_text() == "once\n"


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    (tmp_path / "slow_work.py").write_text(
        "import os, pathlib, time\n\ndef work(i):\n"
        "    pathlib.Path(f'{i}.pid').write_text(str(os.getpid()))\n    time.sleep(600)\n"
    )
    code = "import slow_work; from collabdm.engine.processes import in_processes as run; "
    code += "list(run(slow_work.work, range(2), 2))"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    paths = [tmp_path / f"{i}.pid" for i in range(2)]
    until(lambda: all(path.exists() and path.read_text() for path in paths))
    parent.kill()
    parent.wait()
    until(lambda: not any(runs(int(path.read_text())) for path in paths))


def until(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("a minute was not enough")


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
