"""ServerApp and ClientApp together, in this process."""

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

import collabdm.flower
from collabdm.classifiers.file import load_classifier
from collabdm.distilled.set import load
from collabdm.errors import ConfigError, PlanError, QuorumError, RunFolderError
from collabdm.flower import client_app, gathering, server_app
from collabdm.flower.messages import contribution_reply
from collabdm.storage.files import write_atomically
from flower.conftest import Behaviour, FakeGrid, Simulated, distilled_bytes, failing, saying, site
from flower.sites import write_shard


def _serve(grid: FakeGrid, run_config: Mapping[str, Any]) -> None:
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=dict(run_config))
    server_app.app(grid, context)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "SECONDS_BETWEEN_LOOKS", 0.0)


def _run_config(simulated: Simulated, folder: Path, **others: Any) -> dict[str, Any]:
    plan = str(simulated.folder / "plan.json")
    values = {"plan": plan, "out": str(folder), "config": str(simulated.settings), "deadline": 0.2} | others
    return {name.replace("_", "-"): value for name, value in values.items()}


def _partitions(run_config: Mapping[str, Any], count: int = 3) -> dict[int, tuple[str, Behaviour]]:
    """The nodes of Flower's simulation, which have numbers and no names."""
    return {100 + i: ("", site(run_config, partition_id=i, num_partitions=count)) for i in range(count)}


def _answered(simulated: Simulated) -> dict[int, tuple[str, Behaviour]]:
    """The same nodes with their work done."""
    sent = [simulated.contribution(client) for client in simulated.plan.clients]
    return {100 + i: ("", saying(contribution_reply(content))) for i, content in enumerate(sent)}


def test_flowers_simulation_equals_ours(simulated: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    # Nodes that compute, on a machine that may be busy.
    run_config = _run_config(simulated, tmp_path / "run", deadline=60.0)
    _serve(FakeGrid(_partitions(run_config)), run_config)
    assert distilled_bytes(tmp_path / "run") == simulated.distilled
    ours, theirs = (
        json.loads((folder / "metrics.json").read_text()) for folder in (simulated.folder, tmp_path / "run")
    )
    assert theirs["bytes"] == ours["bytes"]
    assert theirs["losses"] == ours["losses"]
    assert load(tmp_path / "run" / "distilled").facts == load(simulated.folder / "distilled").facts
    for path in sorted((simulated.folder / "contributions").iterdir()):
        assert (tmp_path / "run" / "contributions" / path.name).read_bytes() == path.read_bytes()
    assert "distilled set: " in capsys.readouterr().out


@pytest.fixture(scope="module")
def own_data(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every client's part as the file that its site would have."""
    folder = tmp_path_factory.mktemp("sites")
    names = simulated.plan.clients
    return {name: write_shard(simulated.config, name, folder / f"{name}.npz") for name in names}


def test_the_gram_matrix_travels_over_flower_too(taught: Simulated, tmp_path: Path) -> None:
    run_config = _run_config(taught, tmp_path / "run", deadline=60.0)
    _serve(FakeGrid(_partitions(run_config)), run_config)
    assert distilled_bytes(tmp_path / "run") == taught.distilled
    ours, theirs = (load_classifier(folder / "teacher.safetensors") for folder in (taught.folder, tmp_path / "run"))
    assert ours.card.facts["plan"] == theirs.card.facts["plan"]
    assert all(value.equal(theirs.parameters[name]) for name, value in ours.parameters.items())


def test_real_sites_with_data_of_their_own(simulated: Simulated, own_data: dict[str, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    nodes = {
        i: (name, site(client=name, dataset=str(path), cache=str(cache), engine="eager", device="cpu"))
        for i, (name, path) in enumerate(own_data.items())
    }
    run_config = _run_config(simulated, tmp_path / "run", config="", deadline=60.0)
    _serve(FakeGrid(nodes), run_config)
    kept = sorted(path.read_bytes() for path in cache.glob("*.safetensors"))
    assert kept == sorted(simulated.contribution(name) for name in simulated.plan.clients)


def test_lost_and_run_again_on_the_same_folder(simulated: Simulated, tmp_path: Path) -> None:
    run_config = _run_config(simulated, tmp_path / "run", min_clients=3)
    nodes = _answered(simulated)
    with pytest.raises(QuorumError, match=r"got 2; expected at least 3 of 3 clients"):
        _serve(FakeGrid({**nodes, 101: ("", failing(2))}), run_config)
    stored = {path.name for path in (tmp_path / "run" / "contributions").iterdir()}
    assert stored == {"0-ada.safetensors", "2-cid.safetensors"}
    _serve(FakeGrid(nodes), run_config)
    assert distilled_bytes(tmp_path / "run") == simulated.distilled
    finished = (tmp_path / "run" / "metrics.json").read_bytes()
    none = FakeGrid({})
    _serve(none, run_config)
    assert (none.asked, (tmp_path / "run" / "metrics.json").read_bytes()) == ([], finished)


def test_what_came_before_the_deadline_is_what_a_killed_server_goes_on_with(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {node: does for node, does in _answered(simulated).items() if node != 101}
    _serve(FakeGrid(two), _run_config(simulated, tmp_path / "whole"))

    def killed(*arguments: object, **others: object) -> None:
        raise KeyboardInterrupt

    run_config = _run_config(simulated, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("collabdm.rounds.holding"), "distill_round", killed)
        with pytest.raises(KeyboardInterrupt):
            _serve(FakeGrid(two), run_config)
    everyone = FakeGrid(_answered(simulated))
    _serve(everyone, run_config)
    assert everyone.asked == []
    assert distilled_bytes(tmp_path / "run") == distilled_bytes(tmp_path / "whole")


def test_the_metrics_say_who_was_refused_and_who_is_missing(simulated: Simulated, tmp_path: Path) -> None:
    run_config = _run_config(simulated, tmp_path / "run")
    _serve(FakeGrid({**_answered(simulated), 101: ("", failing(2))}), run_config)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["missing"] == ["bob"]
    assert list(metrics["refused"]) == ["node 101"]
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert any("refused node 101" in event.get("message", "") for event in events)


def test_a_site_that_cannot_contribute_tells_the_class_of_the_error_and_keeps_the_rest(
    simulated: Simulated,
    own_data: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    patient = tmp_path / "patient-telltale"
    patient.mkdir()
    (patient / "damaged.npz").write_bytes(b"PK")
    run_config = _run_config(simulated, tmp_path / "run", min_clients=3)
    plain, own = "DataError: the site's data do not fit the plan", str(own_data["bob"])
    settings, plan = "ConfigError: the site's settings do not fit", "PlanError: the site cannot answer this plan"
    broken: dict[str, tuple[str, Behaviour]] = {
        "expected one of the plan's: ada, bob, cid": (plan, site(client="eve-telltale", dataset=own)),
        "no such file, folder or preset": (plain, site(client="bob", dataset=str(patient / "nowhere.npz"))),
        "expected a readable .npz": (plain, site(client="bob", dataset=str(patient / "damaged.npz"))),
        "got no dataset; expected client and dataset": (settings, site(client="bob")),
        "--node-config cache": (settings, site(client="bob", dataset=own, cache="relative-telltale")),
        "--node-config turbo": (settings, site(client="bob", dataset=own, turbo="telltale")),
        "partition-id: got 7; expected below 3 clients": (plan, site(run_config, partition_id=7)),
        "Not a directory": ("OSError", site(client="bob", dataset=own, cache=str(patient / "damaged.npz" / "x"))),
        "ZeroDivisionError: telltale": ("unforeseen: the site's app failed", site(client="bob", dataset="unforeseen")),
    }
    loaded = client_app.load_samples

    def load(source: str, **options: Any) -> Any:
        if source == "unforeseen":
            raise ZeroDivisionError("telltale")
        return loaded(source, **options)

    monkeypatch.setattr(client_app, "load_samples", load)
    for number, (mentions, (told, behaviour)) in enumerate(broken.items()):
        capsys.readouterr()
        folder = tmp_path / str(number)
        values = run_config | {"out": str(folder)}
        with pytest.raises(QuorumError):
            _serve(FakeGrid({**_answered(simulated), 101: ("", behaviour)}), values)
        lines = (folder / "events.jsonl").read_text()
        assert "refused node 101: " in lines
        assert told in lines
        said = [one for one in (folder / "metrics.json", folder / "reception.json") if one.exists()]
        for text in (lines, *(one.read_text() for one in said)):
            assert "telltale" not in text
        # What is kept at the site: these nodes run in this process.
        kept = capsys.readouterr()
        assert mentions in kept.out + kept.err, (kept, mentions)


@pytest.mark.parametrize(
    ("changes", "error", "mentions"),
    [
        ({"out": "runs/here"}, ConfigError, r"--run-config out: got .*; expected an absolute path; fix: "),
        ({"deadline": -1.0}, ConfigError, "--run-config deadline: got "),
        ({"surprise": 1}, ConfigError, "--run-config surprise: got "),
        ({"plan": "/nowhere/plan.json"}, PlanError, "/nowhere/plan.json"),
        ({"config": "/nowhere/config.toml"}, ConfigError, "/nowhere/config.toml"),
    ],
)
def test_a_run_configuration_that_is_refused(
    changes: dict[str, Any], error: type[Exception], mentions: str, simulated: Simulated, tmp_path: Path
) -> None:
    grid = FakeGrid({})
    with pytest.raises(error, match=mentions):
        _serve(grid, _run_config(simulated, tmp_path / "run") | changes)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_plan_is_refused(simulated: Simulated, tmp_path: Path) -> None:
    run_config = _run_config(simulated, tmp_path / "run")
    other = simulated.plan.model_copy(update={"seed": 99})
    write_atomically(tmp_path / "run" / "plan.json", other.model_dump_json().encode())
    with pytest.raises(RunFolderError, match="of another plan"):
        _serve(FakeGrid({}), run_config)


def test_flower_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(collabdm.__file__).parent
    importing = {
        path.parent.name
        for path in source.rglob("*.py")
        if re.search(r"^\s*(from|import) flwr", path.read_text(), re.M)
    }
    assert importing == {"flower"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"got no package flwr; .*pip install 'collabdm\[flower\]'"):
        importlib.reload(collabdm.flower)
