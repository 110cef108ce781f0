"""A run folder: settings, events, metrics, and whatever a run needs to go on after an interruption.

`config.toml` is written first, with every `auto` resolved; `metrics.json` last: a folder that has it is finished.
"""

import json
import math
import platform
import shutil
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from collabdm.config import Config, config_toml, load_config
from collabdm.engine import Engine
from collabdm.engine.memory import highest
from collabdm.errors import RunFolderError, explain
from collabdm.progress import Event, Report
from collabdm.rounds.records import Needed, read_metrics
from collabdm.storage.files import sweep, write_atomically
from collabdm.storage.locks import has_content

__all__ = ["environment", "finished_metrics", "logged", "prepare_run_folder", "settled_config"]

MARKS = ("config.toml", "comparison.json", "metrics.json", "plan.json")


def prepare_run_folder(folder: Path, *, force: bool, resume: bool) -> None:
    """Make sure that a new run may write to `folder`, or that there is one to resume.

    An existing folder with content needs `resume`, or `force`, which removes it if it is recognisably a run folder.
    Raises `RunFolderError`.
    """
    if not folder.exists() or (folder.is_dir() and not has_content(folder)):
        return
    known = folder.is_dir() and any((folder / mark).exists() for mark in MARKS)
    if resume:
        if not known:
            fix = "choose the folder of an earlier run, or another --out"
            raise RunFolderError(
                explain("--resume", got=f"{folder}, no run folder", expected="an earlier run's", fix=fix)
            )
        sweep(folder)
        return
    if not force:
        fix = "choose another --out, --force to replace it, or --resume to go on"
        raise RunFolderError(explain("run folder", got=f"{folder} with content", expected="a new folder", fix=fix))
    if not known:
        fix = "remove it yourself, or choose another --out"
        raise RunFolderError(explain("--force", got=f"{folder}, no run folder", expected="an earlier run's", fix=fix))
    shutil.rmtree(folder)


def settled_config(folder: Path, config: Config, engine: Engine, *, draw: int | None = None) -> Config:
    """The configuration with its engine resolved, as written in the folder: kept on resume, written otherwise.

    `draw`: the server's, where the configuration leaves it open.

    Raises `RunFolderError` where the folder belongs to a run with other settings.
    """
    path = folder / "config.toml"
    if path.exists():
        stored = load_config(file=path)
        same_engine = config.engine in ("auto", stored.engine, getattr(stored.engine, "kind", None))
        drawn = stored.server.draw if config.server.draw is None else config.server.draw
        asked = config.model_copy(update={"server": config.server.model_copy(update={"draw": drawn})})
        if not same_engine or stored.model_copy(update={"engine": config.engine}) != asked:
            fix = "resume with the settings in its config.toml, choose another --out, or remove the folder"
            raise RunFolderError(
                explain(f"{folder}", got="other settings", expected="those it was begun with", fix=fix)
            )
        return stored
    drawn = draw if config.server.draw is None else config.server.draw
    server = config.server.model_copy(update={"draw": drawn})
    settled = config.model_copy(update={"engine": engine, "server": server})
    write_atomically(path, config_toml(settled))
    return settled


def finished_metrics(folder: Path, needed: Needed) -> dict[str, Any] | None:
    """The metrics of a finished run, which have what is `needed`; else None. Raises `RunFolderError` where they are
    damaged."""
    path = folder / "metrics.json"
    return read_metrics(path, needed) if path.exists() else None


def logged(folder: Path, report: Report) -> Report:
    """`report`, and a line in `events.jsonl`: at every message and end, else once a second per stage and client."""
    folder.mkdir(parents=True, exist_ok=True)
    last: dict[tuple[str, str | None], float] = {}

    def tell(event: Event) -> None:
        report(event)
        now, key = time.time(), (event.stage, event.client)
        if event.done < event.total and event.message is None and now - last.get(key, 0.0) < 1.0:
            return
        last[key] = now
        # A loss that diverged is left out: JSON has no number for it.
        fields = {name: value for name, value in vars(event).items() if value is not None}
        if not math.isfinite(fields.get("loss", 0.0)):
            del fields["loss"]
        with open(folder / "events.jsonl", "a") as file:
            file.write(json.dumps({"time": round(now, 3), **fields}) + "\n")

    return tell


def environment(engine: Engine, memory: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Versions, hardware and peak memory (bytes), for the metrics: the most of this process or of the stages in
    `memory` (MB)."""
    packages = ("collabdm", "torch", "numpy", "safetensors", "pydantic", "datasets")
    device = torch.cuda.get_device_name() if engine.device.startswith("cuda") else _processor()
    return {
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
        "hardware": {
            "machine": platform.machine(),
            "device": device,
            "threads": torch.get_num_threads(),
            "engine": engine.model_dump(),
        },
        "peak_memory": round(1e6 * max([highest(), *(memory or {}).values()])),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
