"""What crosses between client and server: the plan down, the contribution up."""

from collabdm.protocol.acceptance import Acceptance, acceptance, feature_parameters, fingerprint, parameters_fingerprint
from collabdm.protocol.answer import Contribution, summed_contribution
from collabdm.protocol.answers import checked_answers
from collabdm.protocol.contribution import bytes_by_part, clipped_share, decode_contribution, encode_contribution
from collabdm.protocol.encoding import ENCODINGS, EncodingName
from collabdm.protocol.gram import GramBits
from collabdm.protocol.local_spec import (
    LOCAL_METHODS,
    BpttSpec,
    FedDMSpec,
    GradientSpec,
    KipSpec,
    LocalMethod,
    LocalSpec,
)
from collabdm.protocol.mask_spec import MaskSettings, MaskSpec
from collabdm.protocol.plan import BOUNDED, Plan, decode_plan, encode_plan, plan_digest
from collabdm.protocol.privacy_spec import PrivacyShares, PrivacySpec
from collabdm.protocol.statistic_names import GRAM, StatisticNames, asks_gram, per_seed

__all__ = [
    "BOUNDED",
    "ENCODINGS",
    "GRAM",
    "LOCAL_METHODS",
    "Acceptance",
    "BpttSpec",
    "Contribution",
    "EncodingName",
    "FedDMSpec",
    "GradientSpec",
    "GramBits",
    "KipSpec",
    "LocalMethod",
    "LocalSpec",
    "MaskSettings",
    "MaskSpec",
    "Plan",
    "PrivacyShares",
    "PrivacySpec",
    "StatisticNames",
    "acceptance",
    "asks_gram",
    "bytes_by_part",
    "checked_answers",
    "clipped_share",
    "decode_contribution",
    "decode_plan",
    "encode_contribution",
    "encode_plan",
    "feature_parameters",
    "fingerprint",
    "parameters_fingerprint",
    "per_seed",
    "plan_digest",
    "summed_contribution",
]
