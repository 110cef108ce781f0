"""The report of a run: everything it left is there, nothing else, and nothing that could run."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from collabdm.errors import DistilledSetError, RunFolderError
from collabdm.report import run_report
from collabdm.storage.files import write_json
from pages import Page
from report_samples import CLASSES, metrics, write_run

SECTIONS = [
    "collabdm on animals",
    "Worth knowing",
    "The images",
    "Accuracy of each class",
    "Confusion matrix",
    "Every network",
    "Accuracy on the way",
    "Loss",
    "The clients",
    "Time and memory",
    "Settings",
    "How to reproduce it",
]
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def texts(page: Page) -> str:
    return " ".join(page.text.replace("\u00a0", " ").replace("\u202f", " ").split())


def test_everything_a_run_leaves_is_told(tmp_path: Path) -> None:
    page = Page(run_report(write_run(tmp_path / "run")))
    page.assert_harmless()
    assert page.headings == SECTIONS
    told = texts(page)
    for text in (
        "75.0 % ± 1.4 % over 2 networks",
        "6 distilled images, 2 per class; 2 clients under a dirichlet 0.1 partition; one round",
        "800 kB",
        "70.0 %",
        "convnet width=8",
        "3 pairs of seed and class",
        "west",
        "of another plan",
        "frog (4)",
        "cat for dog (38 %)",
        "means 600 kB, images 100 kB",
        "512 MB",
        "1 min 5 s",
        "plan.seeds",
        "engine.kind",
        "collabdm simulate --config config.toml --out runs/again",
        "3.11.7",
    ):
        assert text in told, text
    # Each image of both sets is a picture in the page, and every strip of them has a name.
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(pictures) == 2 * 2 * len(CLASSES)
    labels = [value for tag, name, value in page.attributes if name == "aria-label"]
    assert "cat, before refinement: 2 images" in labels
    assert "The loss goes from 9 to 2.25 in 6 steps." in labels
    assert (
        "Accuracy goes from 50.0\u00a0% at 300\u00a0kB to 75.0\u00a0% at 800\u00a0kB (bytes up, each client)." in labels
    )


def test_the_settings_can_be_taken_along(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    page = Page(run_report(folder))
    link = next(value for tag, name, value in page.attributes if (tag, name) == ("a", "href"))
    assert base64.b64decode(link.partition("base64,")[2]) == (folder / "config.toml").read_bytes()


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert run_report(folder) == run_report(folder)


@pytest.mark.parametrize(
    ("without", "sections"),
    [
        (["curve", "losses"], ["Accuracy on the way", "Loss"]),
        (["seconds", "memory", "peak_memory"], ["Time and memory"]),
        (["partition", "bytes", "seconds", "memory", "peak_memory"], ["The clients", "Time and memory"]),
        (["topped_up", "skipped", "unprotected", "untouched_classes", "missing", "refused"], ["Worth knowing"]),
        (["accuracy"], ["Accuracy of each class", "Confusion matrix", "Every network", "Accuracy on the way"]),
    ],
)
def test_what_a_run_lacks_is_left_out(without: list[str], sections: list[str], tmp_path: Path) -> None:
    changes: dict[str, Any] = dict.fromkeys(without)
    page = Page(run_report(write_run(tmp_path / "run", **changes)))
    assert page.headings == [name for name in SECTIONS if name not in sections]


def test_an_old_run_without_confusion_and_initial_set(tmp_path: Path) -> None:
    told = metrics()
    for network in told["accuracy"]["networks"]:
        del network["confusion"]
    folder = write_run(tmp_path / "run", accuracy=told["accuracy"])
    (folder / "initial" / "distilled.safetensors").unlink()
    page = Page(run_report(folder))
    assert page.headings == [name for name in SECTIONS if name != "Confusion matrix"]
    assert "Before refinement" not in page.text


def test_only_settings(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    for name in ("initial", "distilled"):
        (folder / name / "distilled.safetensors").unlink()
    (folder / "metrics.json").unlink()
    page = Page(run_report(folder))
    assert page.headings == ["collabdm-pae on animals", "Settings", "How to reproduce it"]
    assert "not finished" in page.text


def test_a_run_that_is_under_way_shows_its_round(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "metrics.json").unlink()
    write_json(folder / "round.json", {"basis": "", "metrics": {"losses": [4.0, 2.0], "seconds": {"distill": 3.0}}})
    page = Page(run_report(folder))
    assert page.headings[1:] == ["The images", "Loss", "Time and memory", "Settings", "How to reproduce it"]
    assert "not finished" in page.text


def test_a_round_of_files(tmp_path: Path) -> None:
    kept = ("losses", "seconds", "bytes", "topped_up", "versions", "hardware")
    folder = write_run(tmp_path / "run")
    write_json(folder / "metrics.json", {key: value for key, value in metrics().items() if key in kept})
    page = Page(run_report(folder))
    assert page.headings[0] == "A round of files"
    assert "In short. The round made 6 synthetic images. Nobody has tested yet" in texts(page)
    assert "Each of 2 sites sent 800 kB, once." in texts(page)
    assert "collabdm distill plan.json contributions/ --config config.toml" in page.text


def test_a_cell_of_an_experiment_is_made_again_by_the_experiment(tmp_path: Path) -> None:
    begun = {"experiment": "robustness", "preset": "cpu", "settings": ["plan.seeds=9"], "stand_ins": {}}
    write_json(tmp_path / "out" / "experiment.json", begun)
    folder = write_run(tmp_path / "out" / "runs" / "one-class-collabdm")
    expected = "collabdm experiment run robustness --preset cpu --set plan.seeds=9 --only one-class-collabdm --out"
    for place in (folder, write_run(folder / "repeat-0")):
        page = Page(run_report(place))
        page.assert_harmless()
        assert expected in texts(page)
        assert "collabdm simulate" not in texts(page)
    write_json(tmp_path / "out" / "experiment.json", {"experiment": 5})
    assert "collabdm simulate" in texts(Page(run_report(folder)))


def hostile(value: Any, key: str = "") -> Any:
    """Every text replaced, keys too where they are names that somebody else chose."""
    if isinstance(value, dict):
        named = key in ("per_class", "topped_up", "unprotected", "refused", "down", "up", "parts", "client")
        return {(f"{ATTACK}{k}" if named else k): hostile(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return f"{ATTACK}{value}" if isinstance(value, str) else value


def test_names_from_outside_stay_text(tmp_path: Path) -> None:
    classes = tuple(f"{ATTACK}{name}"[-64:] for name in ("a", "b", "c"))
    folder = write_run(tmp_path / "run", classes)
    write_json(folder / "metrics.json", hostile(metrics(classes)))
    (folder / "config.toml").write_text(
        f"dataset = {json.dumps(ATTACK)}\n[{json.dumps(ATTACK)}]\n{json.dumps(ATTACK)} = 1\n"
    )
    page = Page(run_report(folder))
    page.assert_harmless()
    assert len([1 for tag, name, _ in page.attributes if (tag, name) == ("img", "src")]) == 12
    assert page.text.count("<script>alert(1)</script>") > 20


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "null",
        '{"accuracy": 1}',
        '{"accuracy": {"mean": 7}}',
        '{"losses": [NaN]}',
        '{"curve": {}}',
        "[" * 9999,
    ],
)
def test_damaged_metrics_are_told_in_one_line(content: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "metrics.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"metrics\.json: got .*; expected .*; fix: [^\n]*$"):
        run_report(folder)


@pytest.mark.parametrize("content", ["a = ", "\x00", '"' * 9])
def test_damaged_settings(content: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "config.toml").write_text(content)
    with pytest.raises(RunFolderError, match=r"config\.toml: got .*; fix: "):
        run_report(folder)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="got nothing there"):
        run_report(tmp_path / "none")
    with pytest.raises(RunFolderError, match="got no run folder"):
        run_report(tmp_path)
    (tmp_path / "cells").mkdir()
    with pytest.raises(RunFolderError, match="collabdm experiment report"):
        run_report(tmp_path)


def test_a_damaged_set(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "distilled" / "distilled.safetensors").write_bytes(b"\x00")
    with pytest.raises(DistilledSetError):
        run_report(folder)


def test_many_classes_and_clients_fit_a_page(tmp_path: Path) -> None:
    page = run_report(write_run(tmp_path / "run", tuple(f"class {i}" for i in range(120))))
    assert len(page) < 400_000
    told = texts(Page(page))
    assert "The first 40 of 120 classes." in told
    assert "120 classes down, 120 answers across" in told


def test_noise_that_can_be_taken_off_is_shouted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    told = json.loads((run / "metrics.json").read_text())
    write_json(run / "metrics.json", told | {"insecure_noise": ["north", ATTACK]})
    page = Page(run_report(run))
    page.assert_harmless()
    assert "No promise of privacy is kept: the noise of north, " in texts(page)


AUDIT = {
    "canaries": 100,
    "rounds": 16,
    "alone": False,
    "attacks": {
        "nearest": {"sees": "set", "true_positives": 0.25, "auc": 0.9, "members": 800, "epsilon_at_least": 1.5},
        ATTACK: {"sees": "contributions", "true_positives": 0.0, "auc": 0.5, "members": 800, "epsilon_at_least": 0.0},
    },
    "nearness": {"share": 0.6, "p": 0.0123},
}


def test_an_audit_has_a_section_of_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_json(run / "audit.json", AUDIT)
    page = Page(run_report(run))
    page.assert_harmless()
    assert "Who can be found in the data" in page.headings
    told = texts(page)
    for text in ("100 test images with false labels were put", "25.0 % of 800", "0.900", "60.0 % of the set", "0.012"):
        assert text in told, text
    write_json(run / "audit.json", AUDIT | {"nearness": {"share": 7}})
    with pytest.raises(RunFolderError, match=r"audit\.json"):
        run_report(run)


def test_what_a_round_cost_against_the_data_and_whether_it_helped(tmp_path: Path) -> None:
    worse = {"before": 2.0, "after": 3.5, "seeds": 10}
    told = texts(
        Page(run_report(write_run(tmp_path / "run", raw_bytes={"north": 30_000, "south": 10_000}, loss=worse)))
    )
    assert (
        "The round costs more than the data: 800 kB sent by each client, as a mean, and 20 kB of raw data held" in told
    )
    assert "Refinement made the set worse by its own loss, 2 before and 3.5 after" in told
    better = {"before": 3.5, "after": 2.0, "seeds": 10}
    folder = write_run(tmp_path / "other", raw_bytes={"north": 3_000_000, "south": 900_000}, loss=better)
    told = texts(Page(run_report(folder)))
    assert "costs more than the data" not in told
    assert "made the set worse" not in told
