"""The page of one run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from collabdm.data.naming import public_name
from collabdm.errors import RunFolderError, explain
from collabdm.report.again import of_files, of_simulation
from collabdm.report.brief import of_run
from collabdm.report.ceiling import full_data_beside
from collabdm.report.commands import of_experiment
from collabdm.report.evaluated import judged_later, with_judgement
from collabdm.report.page import render
from collabdm.report.reading import Audit, Metrics, checked, read_toml
from collabdm.report.result import AFTER, plural_in, result_view, sets_in
from collabdm.report.sections import computed_by, computed_seconds, dearer, flattened, mean_up, risen
from collabdm.storage.files import read_json
from collabdm.training.recipes import recipe_text

__all__ = ["data_name", "metrics_of", "plan_settings", "provenance", "run_page", "settings_of"]

# Images of a class, by how many sets stand side by side.
_OF_CLASS = (10, 10, 6, 4)


def run_page(folder: Path, *, real: bool = True) -> bytes:
    """HTML of the run in `folder`, finished or not, with its real examples or without; raises `RunFolderError`."""
    metrics, finished = metrics_of(folder)
    by_files = finished and metrics.method is None
    later, earlier = judged_later(folder)
    metrics = with_judgement(metrics, later)
    if by_files and metrics.rounds is None:
        metrics = metrics.model_copy(update={"rounds": 1})
    tree, text = settings_of(folder)
    sets = sets_in(folder, real=real)
    images = len(sets[-1][1]) if sets and sets[-1][0] == AFTER else None
    method = metrics.method or _named(tree, "method")
    data = metrics.dataset or _named(tree, "dataset")
    if by_files:
        tree = tree | plan_settings(folder, tree)
    experiment = of_experiment(folder)
    return render(
        "run.html",
        title=f"{method} on {data_name(data)}" if metrics.method or not finished else "A round of files",
        finished=finished,
        metrics=metrics,
        accuracy=metrics.accuracy,
        recipe=recipe_text(metrics.protocol),
        method=method,
        data=data_name(data),
        ipc=metrics.ipc or tree.get("ipc"),
        images=images,
        brief=of_run(metrics, images=images, plural=plural_in(sets), ceiling=full_data_beside(folder)),
        up=mean_up(metrics),
        result=result_view(
            metrics, tree, losses=metrics.losses, sets=sets, of_class=_OF_CLASS[len(sets)], by_files=by_files
        ),
        seconds=computed_seconds(metrics.seconds),
        computed=computed_by(metrics.seconds),
        dearer=dearer(metrics),
        risen=risen(metrics),
        later=later,
        earlier=earlier,
        recipe_text=recipe_text,
        audit=_audit(folder),
        config_text=text,
        command=experiment or (of_files(folder, metrics) if by_files else of_simulation(metrics)),
        how="experiment" if experiment is not None else "files" if by_files else "settings",
        provenance=provenance(metrics.versions, metrics.hardware),
    )


def metrics_of(folder: Path) -> tuple[Metrics, bool]:
    """Of a finished run; of another, what its round has left so far."""
    path = folder / "metrics.json"
    if path.is_file():
        return checked(Metrics, read_json(path), str(path)), True
    path = folder / "round.json"
    if path.is_file():
        stored = read_json(path)
        return checked(Metrics, stored.get("metrics") if isinstance(stored, dict) else stored, str(path)), False
    return Metrics(), False


def settings_of(folder: Path) -> tuple[dict[str, Any], str]:
    """The tree and the text of `config.toml`, in which of a path to data only the last part is left.

    Raises `RunFolderError`.
    """
    path = folder / "config.toml"
    if not path.is_file():
        fix = "give the folder of a run"
        raise RunFolderError(explain(f"{folder}", got="no config.toml", expected="a run folder", fix=fix))
    tree, text = read_toml(path), path.read_text(encoding="utf-8")
    source = tree.get("dataset")
    if isinstance(source, str) and public_name(source) != source:
        tree["dataset"] = public_name(source)
        text = tomli_w.dumps(tree)
    return tree, text


def _audit(folder: Path) -> Audit | None:
    path = folder / "audit.json"
    return checked(Audit, read_json(path), str(path)) if path.is_file() else None


def _named(tree: Mapping[str, Any], key: str) -> str:
    value = tree.get(key)
    return value if isinstance(value, str) else "?"


def data_name(source: str) -> str:
    """The last part of a path, or the name itself."""
    return source.rstrip("/").rsplit("/", 1)[-1] or source


def plan_settings(folder: Path, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a round by files has from its plan, whatever stands in its server's `config.toml`."""
    path = folder / "plan.json"
    try:
        told = read_json(path, dict) if path.is_file() else {}
    except RunFolderError:
        return {}
    known = tree.get("plan")
    plan = dict(known) if isinstance(known, Mapping) else {}
    plan |= {key: value for key, value in told.items() if key in (*plan, "network", "features") and value is not None}
    whole = {key: told[key] for key in ("ipc", "seed", "local") if key in told}
    return {"plan": plan, **whole, "partition": {"clients": told.get("clients", [])}} if told else {}


def provenance(versions: Mapping[str, str], hardware: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Versions, and the machine, as pairs of names and texts."""
    machine = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in flattened(hardware).items()
    }
    return [*versions.items(), *machine.items()]
