"""What crosses between client and server: the plan down, the contribution up."""

from collabdm.protocol.contribution import (
    Contribution,
    decode_contribution,
    encode_contribution,
    parameters_fingerprint,
)
from collabdm.protocol.local_spec import BpttSpec, FedDMSpec, GradientSpec, KipSpec, LocalMethod, LocalSpec
from collabdm.protocol.plan import (
    Plan,
    SampleSpec,
    StatisticName,
    decode_plan,
    encode_plan,
    plan_digest,
)

__all__ = [
    "BpttSpec",
    "Contribution",
    "FedDMSpec",
    "GradientSpec",
    "KipSpec",
    "LocalMethod",
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
