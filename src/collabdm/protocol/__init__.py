"""What crosses between client and server: the plan down, the contribution up."""

from collabdm.protocol.contribution import (
    Contribution,
    decode_contribution,
    encode_contribution,
    parameters_fingerprint,
)
from collabdm.protocol.plan import (
    LocalSpec,
    Plan,
    SampleSpec,
    StatisticName,
    decode_plan,
    encode_plan,
    plan_digest,
)

__all__ = [
    "Contribution",
    "LocalSpec",
    "Plan",
    "SampleSpec",
    "StatisticName",
    "decode_contribution",
    "decode_plan",
    "encode_contribution",
    "encode_plan",
    "parameters_fingerprint",
    "plan_digest",
]
