"""A window of flows as one grey image, and the settings that make two sites' images the same."""

import hashlib
import json
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field

from collabdm.data.flows.schema import Column, FlowSchema
from collabdm.data.flows.windows import ATTACK_SHARE, WindowKind
from collabdm.errors import ConfigError, explain

__all__ = ["ImageSettings", "Layout", "eight_bit", "flows_seen", "window_image"]

Layout = Literal["flat", "rows"]


class ImageSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """All that determines an image of given flows; it travels with a data set, a distilled set and a classifier."""

    flow_schema: FlowSchema
    side: Annotated[int, Field(ge=4, le=1024)]
    layout: Layout = "flat"
    flows_per_image: Annotated[int, Field(ge=1)]
    keep_leaking: bool = False
    window: WindowKind = "pure"
    by: Literal["station", "host"] = "station"
    attack_share: Annotated[float, Field(ge=0, le=1)] = ATTACK_SHARE

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns kept, in order."""
        return self.flow_schema.features(keep_leaking=self.keep_leaking)

    def digest(self) -> str:
        """SHA-256 of what an image depends on: not on how windows were chosen, which may differ in use."""
        chosen = self.model_dump(mode="json", exclude={"window", "by", "attack_share"})
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def window_image(values: np.ndarray, *, side: int, layout: Layout) -> np.ndarray:
    """Values in [0, 1], float32 [flows, features] (or uint8 pixels), as an image, uint8 [1, side, side].

    `flat` writes flow after flow into the image's rows (paper, section 5.1); `rows` gives each flow an image row of its
    own. Values that do not fit are left out at the end, pixels that nothing fills are zero; see `flows_seen`.

    Raises:
        ConfigError: a flow has more features than an image row is long, in the layout `rows`.
    """
    flows, features = values.shape
    pixels = eight_bit(values)
    image = np.zeros((side, side), np.uint8)
    if layout == "flat":
        shown = pixels.reshape(-1)[: side * side]
        image.reshape(-1)[: len(shown)] = shown
    else:
        flows_seen(flows, features, side=side, layout=layout)
        image[: min(flows, side), :features] = pixels[:side]
    return image[None]


def eight_bit(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as pixels, uint8, rounded half to even; uint8 stays as it is."""
    return values if values.dtype == np.uint8 else np.rint(values * 255).astype(np.uint8)


def flows_seen(flows: int, features: int, *, side: int, layout: Layout) -> float:
    """How many of a window's flows an image shows, a fraction where the last is cut. Raises as `window_image` does."""
    if layout == "flat":
        return min(flows, side * side / features)
    if features > side:
        fix = f"use --side {features} or more, or --layout flat"
        raise ConfigError(explain("features of a flow", got=features, expected=f"at most {side}, the side", fix=fix))
    return min(flows, side)
