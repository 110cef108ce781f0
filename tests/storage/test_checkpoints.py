"""States on disk: the same bits in the same layout, for the same work only, whatever lies in the file."""

import os
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from collabdm.storage import checkpoints
from collabdm.storage.checkpoints import Checkpoint, named, optimiser_state, restore_optimiser, within


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)


def kept(path: Path, state: dict[str, Tensor], basis: str = "basis") -> dict[str, Tensor]:
    Checkpoint(path, basis).keep(lambda: state)
    return Checkpoint(path, basis).found()


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
    nested = images.clone().requires_grad_()
    state = {
        "plain": images,
        "the same memory": images,
        "channels last": images.contiguous(memory_format=torch.channels_last),
        "turned": images.permute(2, 0, 3, 1),
        "a part": images[:, 1:, ::2],
        "one channel": images[:, :1].contiguous(memory_format=torch.channels_last),
        "leaf": nested,
        "half": images.bfloat16(),
        "double": images.double() / 3,
        "number": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
    }
    found = kept(tmp_path / "a", state)
    assert list(found) == list(state)
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        assert found[name].numpy(force=True).tobytes() == value.numpy(force=True).tobytes() if name != "half" else True
        assert torch.equal(found[name].nan_to_num(), value.nan_to_num()), name
        assert found[name].stride() == torch.empty_like(value).stride(), name
        assert not found[name].requires_grad


def test_a_state_is_for_the_same_work_only(tmp_path: Path) -> None:
    assert kept(tmp_path / "a", {"x": torch.ones(2)})["x"].tolist() == [1, 1]
    other = Checkpoint(tmp_path / "a", "another basis")
    assert (other.found(), other.seconds) == ({}, 0.0)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 60, -1])
def test_a_broken_file_counts_as_none(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a"
    kept(path, {"x": torch.ones(20)})
    path.write_bytes(path.read_bytes()[:length])
    checkpoint = Checkpoint(path, "basis")
    assert (checkpoint.found(), checkpoint.seconds) == ({}, 0.0)


def test_a_file_of_something_else_counts_as_none(tmp_path: Path) -> None:
    for number, metadata in enumerate([None, {"collabdm": "no JSON"}, {"collabdm": "{}"}, {"other": "1"}]):
        path = tmp_path / str(number)
        path.write_bytes(save({"x": torch.ones(2)}, metadata))
        assert Checkpoint(path, "basis").found() == {}


def test_without_a_path_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = Checkpoint()

    def never() -> dict[str, Tensor]:
        raise AssertionError("asked for a state")

    checkpoint.keep(never)
    assert (checkpoint.found(), checkpoint.seconds) == ({}, 0.0)
    checkpoint.remove()
    assert os.listdir(tmp_path) == []


def test_other_work_is_left_out_of_the_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "a", "basis")
    now[0] = 50.0
    checkpoint.leave_out(30.0)
    checkpoint.keep(lambda: {"a": torch.ones(1)})
    assert Checkpoint(tmp_path / "a", "basis").seconds == 20


def test_states_are_written_at_intervals_and_seconds_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 20.0)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def written(seconds: range) -> list[int]:
        checkpoint, times, begun = Checkpoint(tmp_path / "a", "basis"), list[int](), now[0]
        for second in seconds:
            now[0] = begun + second
            checkpoint.keep(lambda: times.append(len(times)) or {"second": torch.tensor(second)})  # noqa: B023
        return [int(checkpoint.found()["second"]), len(times)]

    assert written(range(0, 75, 5)) == [60, 3]
    assert Checkpoint(tmp_path / "a", "basis").seconds == 60
    # Another 20 seconds on top of those that the state had taken.
    assert written(range(0, 21)) == [20, 1]
    assert Checkpoint(tmp_path / "a", "basis").seconds == 80
    Checkpoint(tmp_path / "a", "basis").remove()
    assert os.listdir(tmp_path) == []


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=4), st.sampled_from(["a", "a.b", ""]))
def test_parts_of_a_state(values: dict[str, int], prefix: str) -> None:
    part = {name: torch.tensor(value % 1000) for name, value in values.items()}
    whole = named(prefix, part) | {"other": torch.ones(1)}
    assert within(whole, prefix) == part


@pytest.mark.parametrize("stop", range(5))
@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_an_optimiser_goes_on(kind: str, stop: int, tmp_path: Path) -> None:
    def begun() -> tuple[list[Tensor], torch.optim.Optimizer]:
        leaves = [torch.linspace(-1, 1, 6).requires_grad_(), torch.ones(2, 2, requires_grad=True)]
        adam = torch.optim.Adam(leaves, lr=0.1)
        return leaves, adam if kind == "adam" else torch.optim.SGD(leaves, lr=0.1, momentum=0.9, weight_decay=0.1)

    def steps(leaves: list[Tensor], optimiser: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimiser.zero_grad()
            torch.stack([(leaf.sin() ** 3).sum() for leaf in leaves]).sum().backward()
            optimiser.step()

    whole, optimiser = begun()
    steps(whole, optimiser, 5)
    leaves, optimiser = begun()
    steps(leaves, optimiser, stop)
    state = {str(i): leaf for i, leaf in enumerate(leaves)} | named("optimiser", optimiser_state(optimiser))
    found = kept(tmp_path / "a", state)
    again, optimiser = begun()
    with torch.no_grad():
        for i, leaf in enumerate(again):
            leaf.copy_(found[str(i)])
    restore_optimiser(optimiser, within(found, "optimiser"))
    steps(again, optimiser, 5 - stop)
    assert all(torch.equal(a, b) for a, b in zip(again, whole, strict=True))


@pytest.mark.parametrize(
    ("shape", "strides", "dense"),
    [
        ((2, 3), [3, 1], True),
        ((2, 3), [1, 2], True),
        ((2, 1, 3), [3, 7, 1], True),
        ((3, 3), [0, 4], False),
        ((2, 3), [2, 1], False),
        ((2, 3), [6, 2], False),
        ((2, 3), [3], False),
        ((1, 3), [2**63, 1], False),
        ((), [], True),
        ((0, 3), [3, 1], True),
    ],
)
def test_only_strides_that_lay_elements_side_by_side_are_taken(
    shape: tuple[int, ...], strides: list[int], dense: bool
) -> None:
    assert checkpoints._is_dense(torch.zeros(shape), strides) == dense
