"""The rivals: other one-shot methods under the same protocol.

A new one is one file here, its settings (`collabdm.config.rivals`) if it has any, and one line in `METHODS`.
"""

from collabdm.baselines.base import CurvePoint, Rival, RivalJob, RivalResult, rival_named

__all__ = ["CurvePoint", "Rival", "RivalJob", "RivalResult", "rival_named"]
