"""What crosses between client and server: the plan down, the contribution up."""

from collabdm.protocol.acceptance import Acceptance, acceptance, fingerprint, parameters_fingerprint
from collabdm.protocol.answers import checked_answers
from collabdm.protocol.contribution import (
    Contribution,
    bytes_by_part,
    clipped_share,
    decode_contribution,
    encode_contribution,
)
from collabdm.protocol.encoding import ENCODINGS, EncodingName
from collabdm.protocol.local_spec import (
    LOCAL_METHODS,
    BpttSpec,
    FedDMSpec,
    GradientSpec,
    KipSpec,
    LocalMethod,
    LocalSpec,
)
from collabdm.protocol.plan import Plan, StatisticName, decode_plan, encode_plan, plan_digest

__all__ = [
    "ENCODINGS",
    "LOCAL_METHODS",
    "Acceptance",
    "BpttSpec",
    "Contribution",
    "EncodingName",
    "FedDMSpec",
    "GradientSpec",
    "KipSpec",
    "LocalMethod",
    "LocalSpec",
    "Plan",
    "StatisticName",
    "acceptance",
    "bytes_by_part",
    "checked_answers",
    "clipped_share",
    "decode_contribution",
    "decode_plan",
    "encode_contribution",
    "encode_plan",
    "fingerprint",
    "parameters_fingerprint",
    "plan_digest",
]
