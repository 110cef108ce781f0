"""A client's contribution as bytes, kept for a repeated request; and those of all clients of a simulation, as files."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np

from collabdm.client import SiteOptions, contribute, tell_left_out
from collabdm.data import Samples
from collabdm.engine import Engine
from collabdm.engine.memory import merged
from collabdm.engine.processes import in_processes
from collabdm.privacy.keys import SiteKey
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Plan, encode_contribution, plan_digest
from collabdm.storage.files import private_folder, write_atomically
from collabdm.storage.kept_results import KeptResults, result_key

__all__ = ["cached_contribution", "contribute_all", "contribution_name"]

NO_KEYS: Mapping[str, SiteKey] = MappingProxyType({})


def cached_contribution(
    plan: Plan,
    client: str,
    samples: Samples,
    cache: Path | None,
    *,
    engine: Engine,
    report: Report = silent,
    **own: Unpack[SiteOptions],
) -> bytes:
    """The encoded contribution of one client, as `contribute` makes it; `own` are its options.

    With a folder `cache` it is kept there by the plan's digest, the client and the data's digest: a repeated request is
    answered with the same bytes, whatever the engine, and an interrupted computation goes on after its finished parts,
    which are removed at the end. What was damaged there (its SHA-256 lies beside it) is computed again. Raises what
    `contribute` raises.
    """
    if cache is None:
        return encode_contribution(contribute(plan, client, samples, engine=engine, report=report, **own), plan)
    private_folder(cache)
    basis = {"plan": plan_digest(plan), "client": client, "data": samples.digest()}
    path = cache / f"{result_key('contribution', basis)}.safetensors"
    kept, digest = path.with_suffix(".kept"), path.with_suffix(".sha256")
    content = path.read_bytes() if path.exists() and digest.exists() else b""
    if not content or digest.read_text() != _line(path, content):
        made = contribute(plan, client, samples, engine=engine, kept=KeptResults(kept), report=report, **own)
        content = encode_contribution(made, plan)
        write_atomically(path, content, private=True)
        write_atomically(digest, _line(path, content).encode(), private=True)
    else:
        tell_left_out(plan, client, samples, report)
    shutil.rmtree(kept, ignore_errors=True)
    return content


def contribute_all(
    plan: Plan,
    train: Samples,
    parts: Mapping[str, np.ndarray],
    folder: Path,
    *,
    engine: Engine,
    kept: Path,
    keys: Mapping[str, SiteKey] = NO_KEYS,
    report: Report = silent,
) -> tuple[dict[str, Any], dict[str, float]]:
    """One file per client in `folder`, of the samples whose indices `parts` gives; files that are there are kept.
    `keys`: the clients', where the plan has masks.

    Returns seconds: `statistics`, `local`, `gram` where the plan asks for it, and `client` by name; and the most memory
    of these stages and of `client` (MB). Clients are shared among the engine's processes; what several processes do is
    reported client by client only.
    """
    jobs = (
        _Job(
            plan=plan,
            client=client,
            samples=train.take(indices),
            engine=engine,
            kept=kept,
            path=folder / contribution_name(plan, client),
            key=keys.get(client),
            report=report if engine.processes == 1 else silent,
        )
        for client, indices in parts.items()
    )
    seconds: dict[str, Any] = {"statistics": 0.0, "local": 0.0, "client": {}}
    memory: dict[str, float] = {}

    def tell(line: str) -> None:
        report(Event(stage="contribution", done=0, total=len(parts), message=line))

    results = in_processes(_contributed, jobs, engine.processes, tell=tell)
    for client, (spent, held) in zip(parts, results, strict=True):
        sent = f"{(folder / contribution_name(plan, client)).stat().st_size:,} bytes up"
        if engine.processes > 1:
            tell_left_out(plan, client, train.take(parts[client]), report)
        report(Event(stage="contribution", client=client, done=1, total=1, message=sent))
        for stage, value in spent.items():
            seconds[stage] = seconds.get(stage, 0.0) + value
        seconds["client"][client] = sum(spent.values())
        memory = merged(memory, held, *({"client": value} for value in held.values()))
    return seconds, memory


def contribution_name(plan: Plan, client: str) -> str:
    """The file name of a client's contribution: its number in the plan, and what of its name is safe in a path."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in client)[:60]
    return f"{plan.clients.index(client):0{len(str(len(plan.clients)))}d}-{safe}.safetensors"


def _line(path: Path, content: bytes) -> str:
    """As `sha256sum` writes it."""
    return f"{hashlib.sha256(content).hexdigest()}  {path.name}\n"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    plan: Plan
    client: str
    samples: Samples
    engine: Engine
    kept: Path
    path: Path
    key: SiteKey | None
    report: Report


def _contributed(job: _Job) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and memory of the stages."""
    kept = KeptResults(job.kept, report=job.report)
    contribution = contribute(
        job.plan, job.client, job.samples, engine=job.engine, kept=kept, report=job.report, key=job.key
    )
    if not job.path.exists():
        write_atomically(job.path, encode_contribution(contribution, job.plan), private=True)
    return kept.seconds, kept.memory
