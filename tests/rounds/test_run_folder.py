"""Run folders: when they may be written to, what they keep, and that any reader can parse it."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

import pytest

from collabdm.engine import EAGER, REFERENCE, Engine
from collabdm.errors import RunFolderError
from collabdm.progress import Event
from collabdm.rounds.run_folder import environment, finished_metrics, logged, prepare_run_folder, settled_config
from collabdm.storage.files import write_json
from tiny_runs import tiny_config

AUTO = tiny_config({"engine": "auto", "device": "auto"})
COMPILED = Engine(kind="compiled", dtype="bfloat16", chunk=16)


def strictly(text: str) -> Any:
    """JSON without the words that are not JSON."""

    def refuse(word: str) -> NoReturn:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.mark.parametrize(("force", "resume"), [(False, False), (True, False), (False, True)])
def test_a_new_or_empty_folder_is_free(force: bool, resume: bool, tmp_path: Path) -> None:
    prepare_run_folder(tmp_path / "new", force=force, resume=resume)
    assert not (tmp_path / "new").exists()
    prepare_run_folder(tmp_path, force=force, resume=resume)
    assert tmp_path.is_dir()


@pytest.mark.parametrize("mark", ["config.toml", "comparison.json", "metrics.json", "plan.json"])
def test_an_earlier_run_needs_a_decision(mark: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "distilled").mkdir(parents=True)
    (folder / mark).touch()
    before = tree(tmp_path)
    with pytest.raises(RunFolderError, match=r"run folder: got .*run with content; expected .*; fix: .*--force"):
        prepare_run_folder(folder, force=False, resume=False)
    prepare_run_folder(folder, force=False, resume=True)
    assert tree(tmp_path) == before
    prepare_run_folder(folder, force=True, resume=False)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("option", ["force", "resume", None])
def test_what_is_no_run_folder_is_left_alone(kind: str, option: str | None, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    if kind == "folder":
        place.mkdir()
        (place / "thesis.tex").write_text("precious")
        # A folder that holds runs is not itself one.
        (place / "run").mkdir()
        (place / "run" / "config.toml").touch()
    else:
        place.write_text("precious")
    before = tree(tmp_path)
    with pytest.raises(RunFolderError, match=f"{'--' + option if option else 'run folder'}: got .*mine"):
        prepare_run_folder(place, force=option == "force", resume=option == "resume")
    assert tree(tmp_path) == before


def test_the_engine_is_resolved_once(tmp_path: Path) -> None:
    settled = settled_config(tmp_path, AUTO, COMPILED)
    assert settled == AUTO.model_copy(update={"engine": COMPILED})
    written = (tmp_path / "config.toml").read_bytes()
    # On resume, other hardware would choose otherwise.
    assert settled_config(tmp_path, AUTO, EAGER) == settled
    assert settled_config(tmp_path, settled, EAGER) == settled
    assert settled_config(tmp_path, AUTO.model_copy(update={"engine": "compiled"}), EAGER) == settled
    assert (tmp_path / "config.toml").read_bytes() == written


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"server.lr": 19.0},
        {"plan.network.width": 4},
        {"partition.clients": "a,b,c"},
        {"engine": "eager"},
        {"engine": REFERENCE.model_dump()},
    ],
)
def test_other_settings_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    settled_config(tmp_path, AUTO, COMPILED)
    before = tree(tmp_path)
    asked = tiny_config({"engine": "auto", "device": "auto"} | changes)
    with pytest.raises(RunFolderError, match="got other settings; expected those it was begun with; fix: "):
        settled_config(tmp_path, asked, COMPILED)
    assert tree(tmp_path) == before


def test_finished_means_metrics(tmp_path: Path) -> None:
    needed: dict[str, type] = {"accuracy.mean": float}
    assert finished_metrics(tmp_path, needed) is None
    settled_config(tmp_path, AUTO, EAGER)
    assert finished_metrics(tmp_path, needed) is None
    write_json(tmp_path / "metrics.json", {"accuracy": {"mean": 0.5}})
    assert finished_metrics(tmp_path, needed) == {"accuracy": {"mean": 0.5}}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_that_nobody_could_read_is_not_written(value: float, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"losses": [0.5, value]})
    assert list(tmp_path.iterdir()) == []
    write_json(path, {"losses": [0.5]})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"losses": [value]})
    assert tree(tmp_path) == {"metrics.json": b'{\n  "losses": [\n    0.5\n  ]\n}\n'}


def test_events_are_logged_sparsely_and_readably(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("collabdm.rounds.run_folder.time.time", lambda: clock[0])
    told: list[Event] = []
    tell = logged(tmp_path / "run", told.append)
    for done in range(1, 31):  # three seconds
        clock[0] += 0.1
        for client in ("a", "b"):
            tell(Event(stage="local", client=client, done=done, total=30, loss=1.0 / done))
    for number in (1, 2):  # two refusals at once, in the middle of a stage
        tell(Event(stage="collect", done=number, total=9, message=f"refused ☃ {number}"))
    for loss in (math.nan, math.inf):
        tell(Event(stage="distill", done=5, total=5, loss=loss))
    assert len(told) == 64
    lines = [strictly(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    local = [line for line in lines if line["stage"] == "local"]
    for client in ("a", "b"):
        own = [line for line in local if line["client"] == client]
        assert 3 <= len(own) <= 5
        assert own[0]["done"] == 1
        assert own[-1] == {"time": 1003.0, "stage": "local", "client": client, "done": 30, "total": 30, "loss": 1 / 30}
    assert [line["message"] for line in lines if line["stage"] == "collect"] == ["refused ☃ 1", "refused ☃ 2"]
    assert [line for line in lines if line["stage"] == "distill"] == [
        {"time": 1003.0, "stage": "distill", "done": 5, "total": 5}
    ] * 2
    logged(tmp_path / "run", told.append)(Event(stage="distill", done=1, total=1))
    assert len((tmp_path / "run" / "events.jsonl").read_text().splitlines()) == len(lines) + 1


def test_what_the_metrics_say_of_the_machine() -> None:
    facts = environment(EAGER)
    assert strictly(json.dumps(facts)) == facts
    assert set(facts["versions"]) == {"python", "collabdm", "torch", "numpy", "safetensors", "pydantic", "datasets"}
    assert facts["hardware"]["engine"] == EAGER.model_dump()
    assert 50e6 < facts["peak_memory"] < 1e12
