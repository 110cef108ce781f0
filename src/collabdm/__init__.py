"""One-shot collaborative data distillation: plan, contribute, aggregate, distill, evaluate.

    plan = make_plan(config, clients=["north", "south"])            # server
    answer = contribute(plan, "north", samples)                     # each site
    distilled = distill(plan, answers, config.server)               # server
    result = evaluate(distilled, test)                              # anyone

The names below are the public surface; they are loaded when first used, so that `import collabdm` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "CollabDMError",
    "Config",
    "Contribution",
    "DistilledSet",
    "Engine",
    "Evaluation",
    "Plan",
    "Progress",
    "Samples",
    "aggregate",
    "combine",
    "compare",
    "contribute",
    "decode_contribution",
    "decode_plan",
    "distill",
    "encode_contribution",
    "encode_plan",
    "evaluate",
    "load",
    "load_config",
    "load_dataset",
    "load_table",
    "make_keys",
    "make_plan",
    "open_masks",
    "partition",
    "simulate",
    "without_masks",
]

if TYPE_CHECKING:
    from collabdm.client.site import contribute
    from collabdm.config.layers import load_config
    from collabdm.config.settings import Config
    from collabdm.data.loading import load_dataset
    from collabdm.data.samples import Samples
    from collabdm.data.sites import partition
    from collabdm.data.tabular.frames import load_table
    from collabdm.distilled.set import DistilledSet, load
    from collabdm.engine.engine import Engine
    from collabdm.errors import CollabDMError
    from collabdm.evaluation.evaluate import Evaluation, evaluate
    from collabdm.planning import make_plan
    from collabdm.privacy.combining import combine
    from collabdm.privacy.keys import make_keys
    from collabdm.privacy.mask_openings import open_masks, without_masks
    from collabdm.progress import Progress
    from collabdm.protocol.answer import Contribution
    from collabdm.protocol.contribution import decode_contribution, encode_contribution
    from collabdm.protocol.plan import Plan, decode_plan, encode_plan
    from collabdm.server.aggregating import aggregate
    from collabdm.server.distilling import distill
    from collabdm.simulation.comparison import compare
    from collabdm.simulation.simulate import simulate

_HOMES = {
    "CollabDMError": "errors",
    "Config": "config.settings",
    "Contribution": "protocol.answer",
    "DistilledSet": "distilled.set",
    "Engine": "engine.engine",
    "Evaluation": "evaluation.evaluate",
    "Plan": "protocol.plan",
    "Progress": "progress",
    "Samples": "data.samples",
    "aggregate": "server.aggregating",
    "combine": "privacy.combining",
    "compare": "simulation.comparison",
    "contribute": "client.site",
    "decode_contribution": "protocol.contribution",
    "decode_plan": "protocol.plan",
    "distill": "server.distilling",
    "encode_contribution": "protocol.contribution",
    "encode_plan": "protocol.plan",
    "evaluate": "evaluation.evaluate",
    "load": "distilled.set",
    "load_config": "config.layers",
    "load_dataset": "data.loading",
    "load_table": "data.tabular.frames",
    "make_keys": "privacy.keys",
    "make_plan": "planning",
    "open_masks": "privacy.mask_openings",
    "partition": "data.sites",
    "simulate": "simulation.simulate",
    "without_masks": "privacy.mask_openings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'collabdm' has no attribute {name!r}")
    return getattr(import_module(f"collabdm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(_HOMES)
