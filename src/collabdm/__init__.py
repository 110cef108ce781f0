"""One-shot collaborative data distillation: plan, contribute, aggregate, distill, evaluate.

The names below are the public surface; they are loaded when first used, so that `import collabdm` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "CollabDMError",
    "Config",
    "DistilledSet",
    "aggregate",
    "compare",
    "contribute",
    "distill",
    "evaluate",
    "load",
    "load_config",
    "load_dataset",
    "make_plan",
    "simulate",
]

if TYPE_CHECKING:
    from collabdm.client import contribute
    from collabdm.config import Config, load_config
    from collabdm.data.loading import load_dataset
    from collabdm.distilled.set import DistilledSet, load
    from collabdm.errors import CollabDMError
    from collabdm.evaluation.evaluate import evaluate
    from collabdm.planning import make_plan
    from collabdm.server import aggregate, distill
    from collabdm.simulation.comparison import compare
    from collabdm.simulation.simulate import simulate

_HOMES = {
    "CollabDMError": "errors",
    "Config": "config",
    "DistilledSet": "distilled.set",
    "aggregate": "server",
    "compare": "simulation.comparison",
    "contribute": "client",
    "distill": "server",
    "evaluate": "evaluation.evaluate",
    "load": "distilled.set",
    "load_config": "config",
    "load_dataset": "data.loading",
    "make_plan": "planning",
    "simulate": "simulation.simulate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'collabdm' has no attribute {name!r}")
    return getattr(import_module(f"collabdm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(_HOMES)
