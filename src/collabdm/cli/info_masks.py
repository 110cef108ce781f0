"""What `collabdm info` says of sums, of openings and of keys: never what is secret in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collabdm.errors import ContributionError, explain
from collabdm.storage.reading import regular_bytes, strict_json

__all__ = ["key_or_opening", "promised", "summed"]

_KINDS = {
    "collabdm-opening": "opening of masks",
    "collabdm-public-key": "public key of a site",
    "collabdm-key": "private key of a site: keep it there",
}
_MOST = 4 * 2**20


def promised(plan: Any) -> dict[str, Any]:
    """The promise and the masks of a plan, where it has them."""
    if plan.privacy is None:
        return {}
    masks = plan.masks and {"threshold": plan.masks.threshold, "keys": dict(plan.masks.keys)}
    return {"privacy": plan.privacy.model_dump(mode="json"), "masks": masks}


def summed(metadata: Mapping[str, Any], shapes: Mapping[str, list[int]], size: int) -> dict[str, Any]:
    """A contribution of which only sums are sent."""
    texts = {name: value for name in ("client", "plan", "fingerprint") if isinstance(value := metadata.get(name), str)}
    sites = shapes.get("sites")
    return {
        "kind": "contribution",
        **texts,
        "sums": next(iter(shapes["sums"]), 0),
        "sites": sites[0] if sites else 1,
        "masked": "pairs" in shapes,
        "bytes": size,
    }


def key_or_opening(path: Path) -> dict[str, Any]:
    """Whose it is, and for what. Raises `ContributionError` for any other file."""
    try:
        fields = strict_json(regular_bytes(path, _MOST))
        kind = _KINDS[fields["format"]]
        texts = {name: str(fields[name]) for name in ("client", "plan", "key") if name in fields}
        opened = list(fields["secrets"]) if "secrets" in fields else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        got = (isinstance(error, OSError) and error.strerror) or "something else"
        expected = "a key (.key, .pub) or an opening (.opening)"
        raise ContributionError(explain(f"file {path}", got=got, expected=expected, fix="copy it again")) from None
    return {"kind": kind, **texts, "opened": opened, "bytes": path.stat().st_size}
