"""Masks between every two sites, which cancel in the sum of all: what one site sends is uniform, whatever its data.

Two sites have a secret that follows from their keys and the plan. A stream of integers is made of it, which the one
that comes first in the plan adds to its sums and the other subtracts, modulo 2^24.
"""

from collections.abc import Mapping

import numpy as np

from collabdm.errors import ConfigError, PlanError, explain
from collabdm.privacy.keys import SiteKey, x25519
from collabdm.protocol import Contribution, Plan, plan_digest, summed_contribution
from collabdm.protocol.acceptance import PAIR_BYTES, SUM_BYTES
from collabdm.protocol.sum_vector import BITS

__all__ = ["SECRET_BYTES", "check_key", "masked", "pair_secret", "stream", "tag", "with_streams"]

SECRET_BYTES = 32


def check_key(plan: Plan, client: str, key: SiteKey | None) -> None:
    """Raise `ConfigError` where a key is missing, or is not the one that the plan names for this client; `PlanError`
    where there is a key and the plan has no masks, so that nobody sends in the open what was to be masked."""
    if plan.masks is None:
        if key is not None:
            got, fix = (
                "no masks",
                "ask for a plan with masks, or leave the key out to send sums that the server can read",
            )
            raise PlanError(explain("plan for a site with a key", got=got, expected="plan.masks", fix=fix))
        return
    fix = "pass the private key that was made for this plan (--key FILE, key=)"
    if key is None:
        raise ConfigError(explain(f"key of {client}", got="none", expected="one, since the plan has masks", fix=fix))
    if key.client != client:
        raise ConfigError(explain("key", got=f"that of {key.client}", expected=f"that of {client}", fix=fix))
    if key.public != plan.masks.keys.get(client):
        expected = "the one whose public half is in the plan"
        raise ConfigError(explain(f"key of {client}", got="another one", expected=expected, fix=fix))


def masked(plan: Plan, key: SiteKey, whole: np.ndarray) -> Contribution:
    """The contribution of the key's site: `whole`, integers as `whole_sums` gives them, under its masks.

    Raises what `check_key` raises.
    """
    check_key(plan, key.client, key)
    pairs = np.zeros((len(plan.clients), PAIR_BYTES), np.uint8)
    total = whole.copy()
    for k, other in enumerate(plan.clients):
        if other != key.client:
            secret = pair_secret(plan, key, other)
            total = with_streams(key.client, total, {other: stream(secret, len(whole))})
            pairs[k] = np.frombuffer(tag(secret), np.uint8)
    return summed_contribution(plan, key.client, total, pairs=pairs)


def with_streams(client: str, whole: np.ndarray, streams: Mapping[str, np.ndarray]) -> np.ndarray:
    """`whole` of `client` with the streams between it and these others: added where its name comes first in the
    plan, else subtracted. int64 [n] in [0, 2^24)."""
    for other, numbers in streams.items():
        whole = (whole + numbers if client < other else whole - numbers) % 2**BITS
    return whole


def pair_secret(plan: Plan, key: SiteKey, other: str) -> bytes:
    """The 32 bytes that the key's site shares with `other`, under this plan: who knows them can take off the masks
    between the two, and learns nothing of their keys or of other plans."""
    assert plan.masks is not None
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    curve = x25519()
    public = curve.X25519PublicKey.from_public_bytes(bytes.fromhex(plan.masks.keys[other]))
    shared = curve.X25519PrivateKey.from_private_bytes(key.private).exchange(public)
    names = [plan_digest(plan), *sorted((key.client, other))]
    info = b"collabdm masks" + b"".join(len(name.encode()).to_bytes(4, "little") + name.encode() for name in names)
    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=info).derive(shared)


def stream(secret: bytes, size: int) -> np.ndarray:
    """`size` integers modulo 2^24, int64: the ChaCha20 key stream of the secret (counter and nonce zero), three bytes
    each, the lowest first. The secret is of one plan and one pair, so no stream is made twice."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

    drawn = Cipher(ChaCha20(secret, bytes(16)), mode=None).encryptor().update(bytes(SUM_BYTES * size))
    places = np.frombuffer(drawn, np.uint8).reshape(size, SUM_BYTES).astype(np.int64)
    return places @ (1 << (8 * np.arange(SUM_BYTES, dtype=np.int64)))


def tag(secret: bytes) -> bytes:
    """What both sites say of their secret: 16 bytes that show whether two secrets are the same, and nothing else."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    return HKDFExpand(algorithm=SHA256(), length=PAIR_BYTES, info=b"collabdm pair").derive(secret)
