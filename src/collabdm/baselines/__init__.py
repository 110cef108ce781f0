"""The rivals: other one-shot methods under the same protocol. A new one is one file, its settings, and a line here."""

from collabdm.baselines.base import CurvePoint, Rival, RivalJob, RivalResult
from collabdm.baselines.co_boosting import CO_BOOSTING
from collabdm.baselines.dense import DENSE
from collabdm.baselines.dosfl_soft import DOSFL_SOFT
from collabdm.baselines.ensemble import ENSEMBLE
from collabdm.baselines.fedavg import FEDAVG
from collabdm.baselines.local_sets import VIRTUAL
from collabdm.baselines.strawman import STRAWMEN

__all__ = ["RIVALS", "CurvePoint", "Rival", "RivalJob", "RivalResult"]

RIVALS: dict[str, Rival] = {
    rival.name: rival for rival in (FEDAVG, ENSEMBLE, DENSE, CO_BOOSTING, *VIRTUAL, DOSFL_SOFT, *STRAWMEN)
}
