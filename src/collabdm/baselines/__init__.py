"""The rivals: other one-shot methods under the same protocol. A new one is one file, its settings, and a line here."""

from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.baselines.co_boosting import CO_BOOSTING
from collabdm.baselines.dense import DENSE
from collabdm.baselines.ensemble import ENSEMBLE
from collabdm.baselines.fedavg import FEDAVG

__all__ = ["RIVALS", "Rival", "RivalJob", "RivalResult"]

RIVALS: dict[str, Rival] = {rival.name: rival for rival in (FEDAVG, ENSEMBLE, DENSE, CO_BOOSTING)}
