"""Whole runs: the same twice, the same after an interruption, with exact bytes, for every method."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.client import contribute, site, sums
from collabdm.config import Config, config_toml
from collabdm.data import load_dataset
from collabdm.distilled.set import load
from collabdm.engine import Engine
from collabdm.errors import CollabDMError, ConfigError, DataError, QuorumError, RunFolderError
from collabdm.evaluation import judging
from collabdm.evaluation.networks import network_results
from collabdm.images.modality import Images
from collabdm.images.partition_expand import expand
from collabdm.progress import Event
from collabdm.protocol import decode_plan, encode_contribution
from collabdm.randomness import Stream
from collabdm.simulation import round as round_module
from collabdm.simulation.sharing import parts_of
from collabdm.simulation.simulate import simulate
from interruptions import Killed, killed_after
from tiny_runs import tiny_config, two_epochs, write_sites


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with two_epochs():
        yield


@pytest.fixture(scope="module")
def whole(_quick: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `tiny_config()`."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    simulate(tiny_config(), folder)
    return folder


def product(run: Path) -> bytes:
    return (run / "distilled" / "distilled.safetensors").read_bytes()


def metrics_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def test_a_run_folder_holds_what_was_promised(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    pictures = {"partition.png", "loss.png"}
    assert names >= pictures | {
        "config.toml",
        "plan.json",
        "metrics.json",
        "events.jsonl",
        "distilled",
        "real.safetensors",
    }
    assert not names & {"kept", "checkpoint.safetensors"}
    assert not list(whole.rglob("*.checkpoint"))
    assert not list(whole.rglob("*.part"))
    metrics = metrics_of(whole)
    assert (metrics["method"], metrics["dataset"], metrics["ipc"], metrics["seed"]) == ("collabdm-pae", "digits", 2, 0)
    accuracy = metrics["accuracy"]
    assert accuracy["mean"] == accuracy["networks"][0]["accuracy"]
    assert list(accuracy["per_class"]) == [str(digit) for digit in range(10)]
    assert len(metrics["losses"]) == 3
    assert {"statistics", "local", "aggregate", "distill", "evaluate", "total", "client"} <= set(metrics["seconds"])
    assert set(metrics["seconds"]["client"]) == {"0", "1", "2"}
    kept = {"statistics", "local", "client", "aggregate", "distill", "evaluate"}
    assert set(metrics["memory"]) == kept | {"total"}
    assert all(100 < metrics["memory"][stage] <= metrics["memory"]["total"] for stage in kept)
    assert metrics["peak_memory"] >= round(1e6 * metrics["memory"]["total"])  # whole bytes, as it is written
    (network,) = accuracy["networks"]
    confusion, tested = np.array(network["confusion"]), load_dataset("digits").test.counts()
    assert confusion.sum(axis=1).tolist() == tested.tolist()
    assert confusion.trace() / confusion.sum() == pytest.approx(network["accuracy"])
    assert np.sum(metrics["partition"]["samples"]) == 1297
    assert metrics["partition"]["clients"] == ["0", "1", "2"]
    assert metrics["protocol"]["epochs"] == 2
    assert {"topped_up", "skipped", "refused", "missing", "peak_memory", "versions", "hardware"} <= set(metrics)
    for line in (whole / "events.jsonl").read_text().splitlines():
        assert {"time", "stage", "done", "total"} <= set(json.loads(line))


def test_the_metrics_say_what_was_read(whole: Path) -> None:
    data = json.loads((whole / "metrics.json").read_text())["data"]
    assert data == {"read": {"train": 1297, "test": 500}, "passed_over": {}}


def test_bytes_are_those_of_the_files(whole: Path) -> None:
    sent = metrics_of(whole)["bytes"]
    assert sent["down"] == dict.fromkeys("012", (whole / "plan.json").stat().st_size)
    files = sorted((whole / "contributions").iterdir())
    assert sent["up"] == {client: path.stat().st_size for client, path in zip("012", files, strict=True)}


def test_the_set_before_refinement_is_kept(whole: Path, tmp_path: Path) -> None:
    simulate(tiny_config({"server.passes": 0}), tmp_path / "start")
    before, start = load(whole / "initial"), load(tmp_path / "start" / "distilled")
    assert before.samples.equal(start.samples)
    assert before.labels.equal(start.labels)
    assert before.tiles == load(whole / "distilled").tiles
    assert not before.samples.equal(load(whole / "distilled").samples)


def test_the_files_are_what_the_clients_would_send(whole: Path) -> None:
    plan, dataset = decode_plan((whole / "plan.json").read_bytes()), load_dataset("digits")
    parts = parts_of(tiny_config(), dataset)
    for path, (name, indices) in zip(sorted((whole / "contributions").iterdir()), parts.items(), strict=True):
        made = contribute(plan, name, dataset.train.take(indices), engine=Engine())
        assert encode_contribution(made, plan) == path.read_bytes()


def test_the_same_settings_give_the_same_bits(whole: Path, tmp_path: Path) -> None:
    again = simulate(tiny_config(), tmp_path / "again")
    assert product(tmp_path / "again") == product(whole)
    assert again["accuracy"] == metrics_of(whole)["accuracy"]
    assert again["losses"] == metrics_of(whole)["losses"]
    simulate(tiny_config({"seed": 1}), tmp_path / "other")
    assert product(tmp_path / "other") != product(whole)


@pytest.mark.slow
def test_processes_and_threads_change_not_a_bit(tmp_path: Path) -> None:
    one, several = (
        simulate(tiny_config({"engine": engine.model_dump(), "evaluate.count": 2}), tmp_path / f"{engine.processes}")
        for engine in (Engine(), Engine(threads=3, processes=2))
    )
    assert product(tmp_path / "1") == product(tmp_path / "2")
    for name in ("accuracy", "losses", "bytes"):
        assert one[name] == several[name]
    assert several["hardware"]["engine"]["processes"] == 2


def test_a_finished_run_is_not_run_again(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = (whole / "metrics.json").stat().st_mtime_ns
    monkeypatch.setattr(round_module, "contribute_all", None)
    assert simulate(tiny_config(), whole) == metrics_of(whole)
    assert (whole / "metrics.json").stat().st_mtime_ns == written
    with pytest.raises(RunFolderError, match="other settings"):
        simulate(tiny_config({"seed": 1}), whole)


class Stop(Exception):
    """Pulls the plug."""


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, stop_at: int | None = None) -> list[Any]:
    """Note the arguments of every call; the call number `stop_at` (from 0) stops everything."""
    original, calls = getattr(module, name), []

    def call(*arguments: Any, **others: Any) -> Any:
        calls.append(arguments)
        if len(calls) - 1 == stop_at:
            raise Stop
        return original(*arguments, **others)

    monkeypatch.setattr(module, name, call)
    return calls


# Where each stage of a client is called.
STAGES = {"client_sums": sums, "distill_locally": site}


@pytest.mark.parametrize("stage", list(STAGES))
def test_finished_clients_are_not_computed_again(
    stage: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        counted(patch, STAGES[stage], stage, stop_at=1)
        with pytest.raises(Stop):
            simulate(tiny_config(), tmp_path / "run")
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "contributions").iterdir()}
    assert len(first) == 1
    statistics = counted(monkeypatch, sums, "client_sums")
    local = counted(monkeypatch, site, "distill_locally")
    metrics = simulate(tiny_config(), tmp_path / "run")
    # What the second client had finished before its local stage is found again too.
    assert [call[1] for call in statistics] == (["1", "2"] if stage == "client_sums" else ["2"])
    assert [call[1] for call in local] == ["1", "2"]
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert product(tmp_path / "run") == product(whole)
    assert metrics["accuracy"] == metrics_of(whole)["accuracy"]
    assert metrics["seconds"]["client"]["0"] > 0
    for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines():
        json.loads(line)


def test_finished_networks_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config({"method": "random-real", "evaluate.count": 3})
    metrics = simulate(config, tmp_path / "whole")

    def stopped(*arguments: Any, done: int = 0, **others: Any) -> Iterator[Any]:
        for number, result in enumerate(network_results(*arguments, done=done, **others)):
            if number == 2:
                raise Stop
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(judging, "network_results", stopped)
        with pytest.raises(Stop):
            simulate(config, tmp_path / "run")
    left: list[int] = []

    def noted(*arguments: Any, done: int = 0, **others: Any) -> Iterator[Any]:
        left.append(done)
        return network_results(*arguments, done=done, **others)

    monkeypatch.setattr(judging, "network_results", noted)
    assert simulate(config, tmp_path / "run")["accuracy"] == metrics["accuracy"]
    assert left == [2]


def test_evaluations_on_the_way(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config({"server.evaluate_every": 1})
    metrics = simulate(config, tmp_path / "watched")
    assert [point["steps"] for point in metrics["curve"]] == [1, 2]
    assert all(0 <= point["mean"] <= 1 for point in metrics["curve"])
    # Of three seeds' statistics one, and two, are used by then; all else is.
    parts = [list(metrics["bytes"]["parts"][client].values()) for client in "012"]
    means = [metrics["bytes"]["parts"][client]["means"] for client in "012"]
    for point in metrics["curve"]:
        assert point["bytes_up"] == pytest.approx(np.sum(parts) / 3 - (3 - point["steps"]) / 3 * np.mean(means))
        assert point["bytes_down"] == metrics["bytes"]["down"]["0"]
        assert "confusion" not in point["networks"][0]
    # Judging is evaluation, whenever it is done.
    kept = [json.loads((tmp_path / "watched" / f"{name}.json").read_text()) for name in ("curve", "networks")]
    spent = [one["seconds"] for rows in kept for one in rows]
    assert len(spent) == 3
    assert min(spent) > 0
    assert metrics["seconds"]["evaluate"] == pytest.approx(sum(spent))
    assert "seconds" not in metrics["curve"][0]
    # Looking changes nothing, and an interruption between two looks loses none.
    assert load(tmp_path / "watched" / "distilled").samples.equal(load(whole / "distilled").samples)
    with monkeypatch.context() as patch:
        counted(patch, judging, "network_results", stop_at=1)
        with pytest.raises(Stop):
            simulate(config, tmp_path / "run")
    assert simulate(config, tmp_path / "run")["curve"] == metrics["curve"]


def test_later_passes_cost_no_more_bytes(tmp_path: Path) -> None:
    changes = {"server.evaluate_every": 1, "server.passes": 2, "plan.participation": 0.4}
    metrics = simulate(tiny_config(changes), tmp_path / "run")
    plan = decode_plan((tmp_path / "run" / "plan.json").read_bytes())
    up, parts = metrics["bytes"]["up"], metrics["bytes"]["parts"]
    for point in metrics["curve"]:
        used = {client: [t for t in plan.assigned(client) if t < point["steps"]] for client in plan.clients}
        shares = {client: len(used[client]) / max(len(plan.assigned(client)), 1) for client in plan.clients}
        saved = [(1 - shares[client]) * parts[client]["means"] for client in plan.clients]
        assert point["bytes_up"] == pytest.approx(np.mean(list(up.values())) - np.mean(saved))
    assert metrics["curve"][-1]["bytes_up"] == np.mean(list(up.values()))


# Three clients of three local steps, then two networks of two steps of training and one of testing.
@pytest.mark.parametrize("stop", [5, 10, 12, 14, 15])
def test_an_interrupted_run_repeats_no_step_that_was_kept(stop: int, tmp_path: Path) -> None:
    config = tiny_config({"method": "local-dm", "evaluate.count": 2})
    with killed_after(None) as all_written:
        whole = simulate(config, tmp_path / "whole")
    with killed_after(stop), pytest.raises(Killed):
        simulate(config, tmp_path / "run")
    with killed_after(None) as left:
        metrics = simulate(config, tmp_path / "run")
    assert left[0] + stop == all_written[0] == 15
    assert metrics["accuracy"] == whole["accuracy"]
    assert metrics["seconds"]["evaluate"] > 0
    assert not list((tmp_path / "run").rglob("*.checkpoint"))


def test_a_folder_of_the_first_version_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks without confusion, seconds and memory, a curve without bytes, metrics of the round without memory."""
    config, run = tiny_config({"server.evaluate_every": 2, "evaluate.count": 2}), tmp_path / "run"
    whole = simulate(config, run)
    shutil.rmtree(run / "initial")
    for name in ("metrics.json", "networks-2.json"):
        (run / name).unlink()
    networks = [
        {key: value for key, value in one.items() if key in ("network", "index", "accuracy", "per_class", "macro_f1")}
        for one in json.loads((run / "networks.json").read_text())[:1]
    ]
    (run / "networks.json").write_text(json.dumps(networks))
    record = json.loads((run / "round.json").read_text())
    del record["metrics"]["memory"]
    (run / "round.json").write_text(json.dumps(record))
    again = simulate(config, run)
    assert again["accuracy"]["mean"] == whole["accuracy"]["mean"]
    assert ["confusion" in network for network in again["accuracy"]["networks"]] == [False, True]
    assert again["curve"] == whole["curve"]
    assert {"evaluate", "total"} <= set(again["memory"])


def test_repeats_are_whole_experiments(whole: Path, tmp_path: Path) -> None:
    metrics = simulate(tiny_config({"repeats": 2}), tmp_path / "run")
    assert product(tmp_path / "run" / "repeat-0") == product(whole)
    assert product(tmp_path / "run" / "repeat-1") != product(whole)
    single = simulate(tiny_config({"seed": 1}), tmp_path / "single")
    means = [metrics_of(whole)["accuracy"]["mean"], single["accuracy"]["mean"]]
    assert metrics["repeats"] == means
    assert metrics["accuracy"]["mean"] == pytest.approx(np.mean(means))
    assert metrics["accuracy"]["std"] == pytest.approx(np.std(means, ddof=1))
    assert [network["repeat"] for network in metrics["accuracy"]["networks"]] == [0, 1]
    classes = [one["accuracy"]["per_class"]["3"] for one in (metrics_of(whole), single)]
    assert metrics["accuracy"]["per_class"]["3"] == pytest.approx(np.mean(classes))
    inner = [metrics_of(tmp_path / "run" / f"repeat-{number}")["seconds"] for number in range(2)]
    for stage in ("statistics", "local", "distill", "evaluate", "total"):
        assert metrics["seconds"][stage] == pytest.approx(sum(one[stage] for one in inner))
    assert simulate(tiny_config({"repeats": 2}), tmp_path / "run") == metrics_of(tmp_path / "run")


def test_local_sets_alone_travel_without_statistics(whole: Path, tmp_path: Path) -> None:
    metrics = simulate(tiny_config({"method": "local-dm-pae"}), tmp_path / "run")
    refined = metrics_of(whole)
    assert metrics["losses"] == []
    assert not (tmp_path / "run" / "loss.png").exists()
    for client, size in metrics["bytes"]["up"].items():
        # 3 seeds, 10 classes, 32 features, 2 bytes each are not sent; a header's length varies by a few bytes.
        assert abs(refined["bytes"]["up"][client] - size - 3 * 10 * 32 * 2) < 64
    assert load(tmp_path / "run" / "distilled").method == "local-dm-pae"
    # Nothing but the refinement lies between the two.
    start = simulate(tiny_config({"server.passes": 0}), tmp_path / "start")
    assert start["losses"] == []
    first, second = (load(tmp_path / name / "distilled") for name in ("run", "start"))
    assert first.samples.equal(second.samples)


@pytest.mark.parametrize(("method", "factor"), [("random-real", 1), ("random-real-pae", 2)])
def test_random_real_images_are_training_images(method: str, factor: int, tmp_path: Path) -> None:
    metrics = simulate(tiny_config({"method": method, "ipc": 3}), tmp_path / "run")
    chosen, train = load(tmp_path / "run" / "distilled"), load_dataset("digits").train
    assert chosen.samples.shape == (30, 1, 8, 8)
    assert chosen.counts().tolist() == [3] * 10
    assert chosen.tiles == factor
    assert metrics["bytes"] == {"down": {}, "up": {}}
    # Tiles are training images of the class, at their own size or averaged down to a quarter; each is used once.
    known = torch.from_numpy(train.values).double() / 255
    assert isinstance(chosen.sample, Images)
    tiles = chosen.sample.pixels(chosen.samples).double()
    if factor == 2:
        known = torch.nn.functional.interpolate(known, size=(4, 4), mode="bilinear", antialias=True)
        tiles = tiles.unfold(2, 4, 4).unfold(3, 4, 4).reshape(-1, 1, 4, 4)
    distances = torch.cdist(tiles.flatten(1), known.flatten(1))
    nearest = distances.min(dim=1)
    assert nearest.values.max() < 1e-4
    assert (train.labels[nearest.indices] == chosen.labels.repeat_interleave(factor**2).numpy()).all()
    assert len(set(nearest.indices.tolist())) == 30 * factor**2
    assert len(expand(chosen.samples, factor)) == 30 * factor**2


def test_all_the_data(tmp_path: Path) -> None:
    metrics = simulate(tiny_config({"method": "full-data"}), tmp_path / "run")
    assert metrics["bytes"] == {"down": {}, "up": {}}
    assert metrics["partition"] == {"kind": "pooled"}
    assert not (tmp_path / "run" / "distilled").exists()
    assert metrics["accuracy"]["mean"] > 0.15


def test_all_data_in_one_place_sends_nothing(tmp_path: Path) -> None:
    for number, changes in enumerate(({}, {"partition.clients": "a,b,c"})):
        metrics = simulate(tiny_config({"method": "central-dm", **changes}), tmp_path / str(number))
        assert metrics["bytes"] == {"down": {}, "up": {}}
        assert metrics["topped_up"] == {}
        assert len(metrics["losses"]) == 3
        assert np.array(metrics["partition"]["samples"]).shape == (1, 10)
    assert load(tmp_path / "0" / "distilled").samples.equal(load(tmp_path / "1" / "distilled").samples)


@pytest.mark.parametrize("reuse", [True, False])
def test_sites_of_a_column(reuse: bool, tmp_path: Path) -> None:
    source = write_sites(tmp_path / "sites.npz")
    changes = {"dataset": str(source), "partition.kind": "by-column", "partition.column": "site", "local.reuse": reuse}
    metrics = simulate(tiny_config(changes), tmp_path / "run")
    assert metrics["partition"]["clients"] == ["a", "b"]
    assert metrics["partition"]["samples"] == [[8, 8, 8], [4, 4, 4]]
    assert set(metrics["bytes"]["up"]) == {"a", "b"}
    assert list(metrics["accuracy"]["per_class"]) == ["x", "y", "z"]


BAD: dict[str, tuple[type[CollabDMError], dict[str, Any], str]] = {
    "column": (ConfigError, {"partition.kind": "by-column", "partition.column": "town"}, "got town; expected .* site"),
    "clients": (DataError, {"partition.clients": 99}, "clients: got 99; expected at most 36"),
    "tiles": (ConfigError, {"plan.tiles": 5}, "fix: "),
    "network": (ConfigError, {"plan.network": {"depth": 5}}, "convnet on 8x8 images"),
    "tested": (ConfigError, {"evaluate.networks": "vgg11"}, "vgg11 on 8x8 images"),
    "reserved": (DataError, {"partition.kind": "dirichlet-reserved", "ipc": 10}, "samples of class x: got 12"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_refused_before_anything_is_written(bad: str, tmp_path: Path) -> None:
    error, changes, mentions = BAD[bad]
    source = write_sites(tmp_path / "sites.npz")
    with pytest.raises(error, match=mentions):
        simulate(tiny_config({"dataset": str(source)} | changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_class_without_samples_needs_permission(tmp_path: Path) -> None:
    source = write_sites(tmp_path / "sites.npz", classes=np.array(["x", "y", "z", "ghost"]))
    config = tiny_config({"dataset": str(source)})
    with pytest.raises(DataError, match=r"^classes that nobody holds: got ghost; expected none; fix: "):
        simulate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    metrics = simulate(config, tmp_path / "run", allow_missing=True)
    assert metrics["missing_classes"] == ["ghost"]
    assert metrics["accuracy"]["per_class"]["ghost"] is None
    real = tiny_config({"dataset": str(source), "method": "random-real"})
    assert simulate(real, tmp_path / "real", allow_missing=True)["accuracy"]["per_class"]["ghost"] is None


def test_nothing_is_sent_of_a_class_with_a_single_sample(tmp_path: Path) -> None:
    sites = {"partition.kind": "by-column", "partition.column": "site"}
    source, told = _uneven(tmp_path / "uneven.npz", north=[4, 1, 1], south=[3, 3, 1]), list[Event]()
    config = tiny_config({"dataset": str(source), "partition.clients": 2} | sites)
    lost = r"^classes of which every client holds too few: got z; expected 2 samples .*; fix: set plan.min_held=1"
    with pytest.raises(DataError, match=lost):
        simulate(config, tmp_path / "run")
    metrics = simulate(config, tmp_path / "run", allow_missing=True, report=told.append)
    assert metrics["left_out"] == {"north": {"y": 1, "z": 1}, "south": {"z": 1}}
    assert metrics["missing_classes"] == ["z"]
    lines = [event.message for event in told if event.message and "sends nothing" in event.message]
    assert [line.partition(":")[0] for line in lines] == [
        "client north sends nothing of y (1), z (1)",
        "client south sends nothing of z (1)",
    ]
    everything = tiny_config({"dataset": str(source), "plan.min_held": 1} | sites)
    metrics = simulate(everything, tmp_path / "all")
    assert "left_out" not in metrics
    assert metrics["missing_classes"] == []
    nothing = _uneven(tmp_path / "nothing.npz", north=[4, 3, 3], south=[1, 1, 0])
    with pytest.raises(DataError, match=r"^clients that hold too little: got south; expected every client with 2"):
        simulate(tiny_config({"dataset": str(nothing)} | sites), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def _uneven(path: Path, **held: list[int]) -> Path:
    labels = np.array([y for counts in held.values() for y, count in enumerate(counts) for _ in range(count)])
    sites = np.array([site for site, counts in held.items() for _ in range(sum(counts))])
    values = Stream(5, "uneven").uniform((len(labels), 8, 8), 0, 255).astype(np.uint8)
    test = {"x_test": values[:6], "y_test": labels[:6]}
    np.savez(path, x_train=values, y_train=labels, site_train=sites, classes=np.array(["x", "y", "z"]), **test)
    return path


def test_a_client_that_sends_nonsense_is_left_out(whole: Path, tmp_path: Path) -> None:
    folder, told = tmp_path / "run", list[Event]()
    place = folder / "contributions"
    place.mkdir(parents=True)
    (place / "1-1.safetensors").write_bytes(b"nonsense")
    metrics = simulate(tiny_config(), folder, report=told.append)
    assert list(metrics["refused"]) == ["1-1.safetensors"]
    assert metrics["missing"] == ["1"]
    assert any(event.message and event.message.startswith("refused 1-1.safetensors") for event in told)
    assert product(folder) != product(whole)
    (tmp_path / "strict" / "contributions").mkdir(parents=True)
    (tmp_path / "strict" / "contributions" / "1-1.safetensors").write_bytes(b"nonsense")
    with pytest.raises(QuorumError, match="got 2; expected at least 3 of 3"):
        simulate(tiny_config(), tmp_path / "strict", min_clients=3)


def _killed_after(first: Callable[[], bool], config: Config, folder: Path) -> None:
    """Start the command in a process of its own, and kill it as soon as `first()`."""
    file = folder.with_suffix(".toml")
    file.write_bytes(config_toml(config))
    command = "import sys; from collabdm.cli import main; main(sys.argv[1:])"
    arguments = ["simulate", "--config", str(file), "--out", str(folder), "--quiet"]
    # As many threads as here: the bits depend on it.
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", command, *arguments], env=os.environ | threads)
    try:
        until = time.monotonic() + 120
        while not first():
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_killed_process_leaves_what_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, folder = tiny_config({"partition.clients": 6, "local.iterations": 10}), tmp_path / "run"
    place = folder / "contributions"
    _killed_after(lambda: place.is_dir() and any(place.glob("*.safetensors")), config, folder)
    left = sorted(place.glob("*.safetensors"))
    before = {path: path.read_bytes() for path in left}
    simulate(config, tmp_path / "whole")
    calls = counted(monkeypatch, sums, "client_sums")
    simulate(config, folder)
    # The next client's may have been finished and stored before its file was written.
    assert len(left) + len(calls) in (5, 6)
    assert {path: path.read_bytes() for path in left} == before
    assert product(folder) == product(tmp_path / "whole")
    for line in (folder / "events.jsonl").read_text().splitlines():
        json.loads(line)
