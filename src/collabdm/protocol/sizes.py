"""How many bytes a contribution takes, told from the plan alone: of a client that holds every class."""

import math

from collabdm.networks import build_network
from collabdm.protocol.plan import Plan

__all__ = ["expected_upload"]

# Bytes of one number of the statistics; what Huffman codes leave was measured (docs/wire.md).
_BYTES = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0, "int6": 0.57}
_COMPACT = ("int8", "int6")

# Measured of the root in eight bits at 1,024 features; each bit more costs one, and each doubling of the features saves
# half a bit, since the same variance is shared among twice as many numbers.
_ROOT_BITS, _ROOT_FEATURES, _ROOT_LEAST = 4.6, 1024, 2.0

_HEADER = 900


def expected_upload(plan: Plan) -> dict[str, int]:
    """Bytes by part, as `bytes_by_part` names them. A new encoding counts as float32."""
    classes, shape = len(plan.classes), plan.sample.shape
    features = build_network(plan.network, shape, classes=1).features
    vectors = plan.seeds * plan.statistic.groups(classes) * plan.statistic.rows(features)
    scales = 4 * vectors if plan.encoding in _COMPACT else 0
    local = 0 if plan.local.method == "none" else classes * plan.local_per_class
    # The compact form of images is one byte a value; of samples without one of their own, float16.
    eight_bit = plan.encoding in _COMPACT and len(plan.sample.compact) > 1
    value = 1.0 if eight_bit else 4.0 if plan.encoding == "fp32" else 2.0
    return {
        "held": 8 * classes,
        "means": round(vectors * features * _BYTES.get(plan.encoding, 4.0)) + scales,
        "gram": _gram(plan),
        plan.sample.plural: round(local * math.prod(shape) * value),
        "labels": 8 * local,
        "header": _HEADER,
    }


def _gram(plan: Plan) -> int:
    if plan.features is None or plan.gram_bits is None:
        return 0
    d = build_network(plan.features, plan.sample.shape, classes=1).features
    bits = plan.gram_bits - 8 + _ROOT_BITS - 0.5 * math.log2(d / _ROOT_FEATURES)
    root = d * (d + 1) / 2 * max(bits, _ROOT_LEAST) / 8
    return round(root) + 2 * len(plan.classes) * d + 8 * d
