"""`collabdm contribute --check`: whether a site's data fit a plan, and what answering it will take and send."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collabdm.cli.output import bytes_text, dearer_text, duration_text, print_facts, print_json, print_next

if TYPE_CHECKING:
    import numpy as np

    from collabdm.data import Samples
    from collabdm.engine import Engine
    from collabdm.protocol import Plan

__all__ = ["checked_site"]


def checked_site(
    plan: "Plan",
    plan_file: Path,
    client: str,
    samples: "Samples",
    engine: "Engine",
    groups: "np.ndarray | None",
    *,
    json: bool,
) -> None:
    """Try a little of the answer and tell what the whole will be; raises what `contribute` raises."""
    from collabdm.client import probe
    from collabdm.privacy import few_text, too_few

    found = probe(plan, client, samples, engine=engine, groups=groups)
    sent, raw, seconds = sum(found.parts.values()), samples.values.nbytes, sum(found.seconds.values())
    held = {name: int(count) for name, count in zip(plan.classes, samples.counts(), strict=True) if count}
    few = {} if plan.privacy is not None else too_few(samples, plan.min_held)
    if json:
        facts: dict[str, Any] = {"client": client, "fits": True, "samples": len(samples), "held": held, "left_out": few}
        sizes = {"bytes": sent, "parts": dict(found.parts), "raw_bytes": raw}
        print_json(facts | {"seconds": seconds, "stages": dict(found.seconds)} | sizes)
        return
    lacking = [name for name in plan.classes if name not in held]
    shown = {
        "samples": f"{len(samples)} of the size {'x'.join(map(str, plan.sample.shape))} that the plan asks for",
        "held": held,
        "held by others only": lacking,
        "nothing is sent of": few_text(few),
        "will take": f"{duration_text(seconds)} or so on this machine as it is now, and the time to read the data",
        "will send": f"about {bytes_text(sent)} ({', '.join(f'{k} {bytes_text(v)}' for k, v in found.parts.items())})",
        "raw data": bytes_text(raw),
        "more than the data": dearer_text(sent, raw),
    }
    print_facts(f"the data of {client} fit the plan; nothing was written", shown)
    words = ["collabdm", "contribute", str(plan_file), "--client", client, "--dataset", "DATA"]
    step = f"{shlex.join(words)} --out {shlex.quote(f'{client}.safetensors')}"
    print_next("here", f"{step}, with the options of this check")
