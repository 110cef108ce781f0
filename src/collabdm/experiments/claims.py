"""Which cell a process works on, where several work in one folder: each cell is one process's at a time.

Cells are taken by rank, but where it can be had, one that shares no costly results with a cell under way: two processes
that need the same result at the same time would have one of them wait.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from collabdm.config import Config
from collabdm.errors import FolderBusyError
from collabdm.experiments.base import Cell
from collabdm.experiments.records import RUNS
from collabdm.methods import method_named
from collabdm.storage.files import sweep
from collabdm.storage.locks import is_locked, locked

__all__ = ["claimed", "family_of"]


def claimed(
    folder: Path,
    wanted: Sequence[Cell],
    configs: Mapping[str, Config],
    holding: ExitStack,
    *,
    unfinished: Sequence[str],
) -> Cell | None:
    """Take one of the `wanted` cells, given by rank, that nobody works on, into what is `holding`; None where there is
    none. To be called at the folder's door. `unfinished`: all cells that anybody may be at.
    """
    held = {name for name in unfinished if is_locked(folder / RUNS / name)}
    under_way = {family_of(configs[name]) for name in held}
    free = [cell for cell in wanted if cell.name not in held]
    for cell in sorted(free, key=lambda one: family_of(configs[one.name]) in under_way):
        run = folder / RUNS / cell.name
        try:
            holding.enter_context(locked(run))
        except FolderBusyError:  # a single run of it, by another command
            continue
        sweep(run)
        return cell
    return None


def family_of(config: Config) -> str:
    """Cells of one family share client statistics, local sets or client models, all or some of them."""
    method = method_named(config.method)
    if method.source not in ("round", "rival"):
        return json.dumps([config.method, config.dataset, config.ipc])
    shared = config.method if method.source == "rival" else [method.source, method.central]
    return json.dumps([shared, config.dataset, config.seed, config.partition.model_dump(mode="json")])
