"""The audit of a run's folder: its settings and data, and what is found in its files."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collabdm.audit.auditing import AuditSpec, audited
from collabdm.config import Config, load_config
from collabdm.data import load_dataset
from collabdm.distilled import load
from collabdm.engine import Engine
from collabdm.errors import RunFolderError, explain
from collabdm.progress import Report, silent
from collabdm.storage.files import write_atomically, write_json
from collabdm.storage.locks import locked
from collabdm.storage.reading import read_text

__all__ = ["audit_run"]

_MOST_BYTES = 2**24
_PRIVACY = "## Privacy\n"
_LINES = re.compile(r"^> \*\*Audited\*\*.*\n>.*\n\n", re.MULTILINE)


def audit_run(folder: Path, spec: AuditSpec, *, report: Report = silent) -> dict[str, Any]:
    """Audit the finished simulated run in `folder`; returns what its `audit.json` then holds, as `audited` gives it.

    Raises `RunFolderError` for what is no such run, and what `audited` raises.
    """
    config = _settings(folder)
    with locked(folder):
        made = load(folder / "distilled")
        dataset = load_dataset(config.dataset, modality=made.sample.kind, options=config.reading)
        assert isinstance(config.engine, Engine)
        found = audited(dataset, config, made, folder / "audit", spec, engine=config.engine, report=report)
        write_json(folder / "audit.json", found)
        _into_card(folder / "distilled" / "README.md", found)
        shutil.rmtree(folder / "audit")
    return found


def _line(found: Mapping[str, Any], sees: str) -> str:
    """What the attacks found that see the set, or what the server received, for whoever gets the set."""
    attacks = [one for one in found["attacks"].values() if one["sees"] == sees]
    what = "the set" if sees == "set" else "what the server received"
    if not attacks:
        return f"No attack on {what} was tried."
    best = max(attacks, key=lambda one: one["true_positives"])
    bound = max(one["epsilon_at_least"] for one in attacks)
    return (
        f"From {what}, the best of {len(attacks)} attacks found {best['true_positives']:.1%} of the members at "
        f"{best['false_positives']:.1%} false alarms ({best['others']} non-members); epsilon is at least {bound:.2f}."
    )


def _settings(folder: Path) -> Config:
    needed = ("config.toml", "metrics.json", "plan.json", "distilled")
    missing = next((name for name in needed if not (folder / name).exists()), None)
    if missing is not None:
        fix = "give the folder of a finished `collabdm simulate`: an audit holds its round again, which needs all data"
        raise RunFolderError(explain(f"{folder}", got=f"no {missing}", expected="a simulated run", fix=fix))
    return load_config(file=folder / "config.toml")


def _into_card(path: Path, found: Mapping[str, Any]) -> None:
    """Two lines at the head of the card's section on privacy, instead of an earlier audit's."""
    if not path.is_file():
        return
    placed = f", {found['canaries']} mislabelled canaries, {found['rounds']} rounds"
    lines = f"> **Audited**{placed}. {_line(found, 'set')}\n> {_line(found, 'contributions')}\n\n"
    card = _LINES.sub("", read_text(path, _MOST_BYTES))
    if _PRIVACY in card:
        head, _, rest = card.partition(_PRIVACY)
        card = f"{head}{_PRIVACY}\n{lines}{rest.lstrip()}"
    write_atomically(path, card.encode())
