"""What makes a run once more, bit for bit: the commands, from the folder that has the run."""

import shlex
from pathlib import Path
from typing import Any

from collabdm.errors import CollabDMError
from collabdm.report.reading import Metrics
from collabdm.storage.files import read_json

__all__ = ["of_files", "of_simulation"]


def of_simulation(metrics: Metrics) -> str:
    """The command for a run on one machine, with its `config.toml` at hand."""
    return shlex.join(["collabdm", "simulate", "--config", "config.toml", *_terms(metrics), "--out", "runs/again"])


def of_files(folder: Path, metrics: Metrics) -> str | None:
    """The commands for a round by files, a line each; None where a client left it whose file is gone.

    Settings, the server's draw and engine are in its `config.toml`, contributions and plan beside it. Clients who came
    later are taken as they were: one after another, with the same passes.
    """
    again, last = Path("..") / f"{folder.resolve().name}-again", _last_changes(folder)
    if last is None:
        return None
    files = _files(folder)
    if not all(entry.get("digest") in files for entry in last):
        return None
    source, lines = "contributions/", [f"cd {shlex.quote(folder.resolve().name)}"]
    if last:
        source = "first/"
        late = [shlex.quote(f"first/{files[entry['digest']]}") for entry in last]
        lines += ["cp -r contributions first", f"rm {' '.join(late)}"]
    words = ["collabdm", "distill", "plan.json", source, "--config", "config.toml", *_terms(metrics)]
    lines.append(shlex.join([*words, "--out", str(again)]))
    for entry in last:
        file, passes = f"contributions/{files[entry['digest']]}", str(entry.get("passes", 1))
        lines.append(shlex.join(["collabdm", "distill", "--add", file, "--passes", passes, "--out", str(again)]))
    return "\n".join(lines)


def _terms(metrics: Metrics) -> list[str]:
    """What the operator allowed, as far as it mattered."""
    asked, answered = len(metrics.bytes.down), len(metrics.bytes.down) - len(metrics.missing)
    few = ["--min-clients", str(answered)] if asked and 0 < answered < (asked + 1) // 2 else []
    return few + (["--allow-missing-classes"] if metrics.missing_classes else [])


def _last_changes(folder: Path) -> list[dict[str, Any]] | None:
    """The clients who were added since the set was last made from the start; None where one was taken out since."""
    path = folder / "round.json"
    try:
        record = read_json(path, dict) if path.is_file() else {}
    except CollabDMError:
        return []
    history = record.get("history", [])
    changes = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    kinds = [entry.get("kind") for entry in changes]
    if "forget" in kinds:
        changes = changes[len(kinds) - kinds[::-1].index("forget") :]
    return None if any(entry.get("kind") != "add" for entry in changes) else changes


def _files(folder: Path) -> dict[str, str]:
    """Names of the stored contributions by their SHA-256."""
    path = folder / "contributions.sha256"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    pairs = [line.split(maxsplit=1) for line in lines]
    return {pair[0]: pair[1].lstrip("*").rpartition("/")[2] for pair in pairs if len(pair) == 2}
