"""What crosses between client and server: the plan down, the contribution up."""

from collabdm.protocol.contribution import (
    Contribution,
    bytes_by_part,
    clipped_share,
    decode_contribution,
    encode_contribution,
    largest_contribution,
    parameters_fingerprint,
)
from collabdm.protocol.encoding import ENCODINGS, EncodingName
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
    "ENCODINGS",
    "BpttSpec",
    "Contribution",
    "EncodingName",
    "FedDMSpec",
    "GradientSpec",
    "KipSpec",
    "LocalMethod",
    "LocalSpec",
    "Plan",
    "SampleSpec",
    "StatisticName",
    "bytes_by_part",
    "clipped_share",
    "decode_contribution",
    "decode_plan",
    "encode_contribution",
    "encode_plan",
    "largest_contribution",
    "parameters_fingerprint",
    "plan_digest",
]
