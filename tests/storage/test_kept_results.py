"""Stored results: computed once, found again, and computed anew where the file is broken."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from collabdm.progress import Event
from collabdm.storage import checkpoints
from collabdm.storage.kept_results import KeptResults, result_key

ARRAYS = {"values": np.arange(12, dtype=np.float32).reshape(3, 4), "labels": np.array([2, 0, 1])}


def counted(calls: list[str]) -> Callable[[], dict[str, np.ndarray]]:
    def work() -> dict[str, np.ndarray]:
        calls.append("work")
        return ARRAYS

    return work


def assert_same(arrays: dict[str, np.ndarray]) -> None:
    assert set(arrays) == set(ARRAYS)
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == value.dtype
        np.testing.assert_array_equal(arrays[name], value)


def test_works_once_and_then_reads(tmp_path: Path) -> None:
    calls: list[str] = []
    for _ in range(3):
        # A new store each time: what is kept is on disk.
        assert_same(KeptResults(tmp_path / "kept").compute("key", counted(calls)))
    assert calls == ["work"]
    assert os.listdir(tmp_path / "kept") == ["key.safetensors"]


def test_other_keys_are_other_results(tmp_path: Path) -> None:
    store = KeptResults(tmp_path)
    store.compute("a", lambda: {"x": np.zeros(1)})
    assert store.compute("b", lambda: {"x": np.ones(1)})["x"].item() == 1
    assert store.compute("a", lambda: {"x": np.ones(1)})["x"].item() == 0


@pytest.mark.parametrize("length", [0, 1, 8, 40, -1])
def test_a_broken_file_is_computed_anew_and_repaired(tmp_path: Path, length: int) -> None:
    calls: list[str] = []
    store = KeptResults(tmp_path)
    store.compute("key", counted(calls))
    path = tmp_path / "key.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    assert_same(store.compute("key", counted(calls)))
    assert calls == ["work", "work"]
    assert_same(store.compute("key", dict))
    assert len(path.read_bytes()) == len(whole)


def test_the_time_of_the_work_is_kept_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    first, later = KeptResults(tmp_path), KeptResults(tmp_path)
    for store in (first, later):
        assert_same(store.compute("local-0123", lambda: ARRAYS))
        assert store.seconds == {"local": 2.5}


def test_a_file_of_something_else_is_computed_anew(tmp_path: Path) -> None:
    (tmp_path / "key.safetensors").write_bytes(save(ARRAYS))
    assert KeptResults(tmp_path).compute("key", lambda: {"x": np.ones(1)})["x"].item() == 1


def test_failed_work_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> dict[str, np.ndarray]:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        KeptResults(tmp_path / "kept").compute("key", fail)
    assert not list(tmp_path.rglob("*.*"))


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[str] = []
    for _ in range(2):
        assert_same(KeptResults().compute("key", counted(calls)))
    assert calls == ["work", "work"]
    assert os.listdir(tmp_path) == []


def test_strided_arrays_are_stored_as_they_look(tmp_path: Path) -> None:
    strided = np.arange(24).reshape(4, 6)[::2, ::3].T
    store = KeptResults(tmp_path)
    store.compute("key", lambda: {"x": strided})
    np.testing.assert_array_equal(store.compute("key", dict)["x"], strided)


def test_what_is_read_can_be_written_to(tmp_path: Path) -> None:
    store = KeptResults(tmp_path)
    store.compute("key", lambda: ARRAYS)
    assert store.compute("key", dict)["values"].flags.writeable


def test_keys_follow_content_not_order() -> None:
    basis = {"seed": 1, "plan": {"ipc": 2, "network": "convnet"}}
    reordered = {"plan": {"network": "convnet", "ipc": 2}, "seed": 1}
    assert result_key("local", basis) == result_key("local", reordered)
    assert result_key("local", basis).startswith("local-")
    others = [result_key("statistics", basis), result_key("local", basis | {"seed": 2}), result_key("local", {})]
    assert len({*others, result_key("local", basis)}) == 4


def test_rows_are_kept_in_blocks_until_the_stage_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 8))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    store, rows = KeptResults(tmp_path), np.arange(20, dtype=np.float32).reshape(10, 2)
    blocks = store.blocks("key")
    for row in rows[:8]:
        blocks.add(row)
    # A block every three rows of eight seconds each; the last two rows were not kept.
    assert sorted(os.listdir(tmp_path)) == ["key.from-0", "key.from-3"]
    found = store.blocks("key")
    np.testing.assert_array_equal(np.stack(found.rows), rows[:6])
    assert found.seconds == 48
    assert store.blocks("other").rows == []
    store.compute("key", lambda: {"values": np.stack([*store.blocks("key").rows, *rows[6:]])})
    assert os.listdir(tmp_path) == ["key.safetensors"]
    assert store.seconds["key"] > 48


def test_a_broken_block_ends_what_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    blocks = KeptResults(tmp_path).blocks("key")
    for value in range(3):
        blocks.add(np.array([value]))
    (tmp_path / "key.from-1").write_bytes(b"broken")
    assert [row.tolist() for row in KeptResults(tmp_path).blocks("key").rows] == [[0]]


def test_of_two_that_need_one_result_one_computes_it_and_the_other_waits_and_says_so_once(tmp_path: Path) -> None:
    calls, told, begun = list[str](), list[Event](), threading.Event()

    def slow() -> dict[str, np.ndarray]:
        begun.set()
        time.sleep(0.2)
        return counted(calls)()

    first = threading.Thread(target=lambda: KeptResults(tmp_path).compute("model-1", slow))
    first.start()
    assert begun.wait(20)
    (tmp_path / ".model-1.safetensors.0.part").touch()
    second = KeptResults(tmp_path, report=told.append)
    assert_same(second.compute("model-1", counted(calls)))
    first.join()
    assert calls == ["work"]
    assert second.seconds["model"] >= 0.2, "what the one that computed it took"
    assert [one.message for one in told if one.message] == [
        "another process is computing the same model: its result is waited for"
    ]
    assert os.listdir(tmp_path) == ["model-1.safetensors"]
