"""The paper's experiments, and one of our own: each a grid of cells in a file of its own, and a line here."""

from collabdm.errors import ConfigError, unknown_name
from collabdm.experiments.ablation import ABLATION
from collabdm.experiments.additive import ADDITIVE
from collabdm.experiments.backdoor import BACKDOOR
from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.communication import COMMUNICATION
from collabdm.experiments.continual import CONTINUAL
from collabdm.experiments.cross_architecture import CROSS_ARCHITECTURE
from collabdm.experiments.figure2 import FIGURE2
from collabdm.experiments.figure3 import FIGURE3
from collabdm.experiments.ladder import LADDER
from collabdm.experiments.local_reuse import LOCAL_REUSE
from collabdm.experiments.mnist_iid import MNIST_IID
from collabdm.experiments.nas import NAS
from collabdm.experiments.presets import SCALES, Scale, scale_named
from collabdm.experiments.promise import PROMISE
from collabdm.experiments.robustness import ROBUSTNESS
from collabdm.experiments.runner import Outcome, run_experiment
from collabdm.experiments.sharing import SHARING
from collabdm.experiments.strawman import STRAWMAN
from collabdm.experiments.table2 import TABLE2
from collabdm.experiments.table3 import TABLE3
from collabdm.experiments.tabular import TABLES
from collabdm.experiments.teacher import TEACHER
from collabdm.experiments.time_series import SERIES

__all__ = [
    "EXPERIMENTS",
    "SCALES",
    "Cell",
    "Experiment",
    "Outcome",
    "Scale",
    "experiment_named",
    "run_experiment",
    "scale_named",
]

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        TABLE2,
        FIGURE2,
        CROSS_ARCHITECTURE,
        COMMUNICATION,
        MNIST_IID,
        ROBUSTNESS,
        ABLATION,
        FIGURE3,
        TABLE3,
        STRAWMAN,
        LOCAL_REUSE,
        ADDITIVE,
        LADDER,
        TEACHER,
        TABLES,
        SERIES,
        SHARING,
        NAS,
        CONTINUAL,
        BACKDOOR,
        PROMISE,
    )
}


def experiment_named(name: str) -> Experiment:
    """The experiment, or a `ConfigError` that lists them."""
    if name not in EXPERIMENTS:
        raise ConfigError(unknown_name("experiment", name, EXPERIMENTS))
    return EXPERIMENTS[name]
