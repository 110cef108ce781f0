"""The masks under which the server can read nothing but the sum of all sites: their public keys, in the plan."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, model_validator

__all__ = ["MOST_MASKED", "MaskSettings", "MaskSpec"]

MOST_MASKED = 2000
"""Sites of one plan with masks: each makes a stream of numbers for every other one."""

_PRIME = 2**255 - 19
# The points that any private key takes to one of eight places: masks made with them are everyone's to make.
_WEAK = frozenset(
    (
        0,
        1,
        _PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
)


def _usable(key: str) -> str:
    number = int.from_bytes(bytes.fromhex(key), "little")
    # One text a key: a second one for the same point would pass for another site's.
    if number >= _PRIME or number in _WEAK:
        raise ValueError("the public half of a key that collabdm keys made")
    return key


PublicKey = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), AfterValidator(_usable)]
"""The public half of an X25519 key, 64 hexadecimal digits."""


class MaskSettings(BaseModel, frozen=True, extra="forbid"):
    """That a plan is to have masks. `threshold` unset: more than half of the sites."""

    threshold: Annotated[int, Field(ge=2, le=MOST_MASKED)] | None = None


class MaskSpec(BaseModel, frozen=True, extra="forbid"):
    """`keys`: every client's public key by its name. `threshold`: with fewer contributions than that there is no sum,
    and no site opens masks of so many others that fewer would be left."""

    threshold: Annotated[int, Field(ge=2, le=MOST_MASKED)]
    keys: Annotated[dict[str, PublicKey], Field(min_length=2, max_length=MOST_MASKED)]

    @model_validator(mode="after")
    def _consistent(self) -> "MaskSpec":
        if len(set(self.keys.values())) != len(self.keys):
            raise ValueError("keys must be distinct: two clients with one key have no mask between them")
        if self.threshold > len(self.keys):
            raise ValueError(f"threshold must be at most the number of clients, {len(self.keys)}")
        return self
