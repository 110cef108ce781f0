"""What a person should know of windows or rows before a round is held on them: classes without, flows left over."""

import numpy as np

from collabdm.data.flows.images import ImageSettings
from collabdm.data.flows.rows import RowSettings

__all__ = ["RARE", "notes"]

RARE = 10
"""A class of fewer windows or rows is told: those to test on are one or two, and tell next to nothing."""


def notes(labels: np.ndarray, test: np.ndarray, flows: np.ndarray, settings: ImageSettings | RowSettings) -> list[str]:
    """A line for each kind of thing to know; none where all is well.

    `labels` int64 [windows or rows], `test` bool [the same] (those for testing), `flows` int64 [classes] read of each.
    """
    names = settings.flow_schema.class_names
    size, one = (settings.flows_per_image, "window") if isinstance(settings, ImageSettings) else (1, "flow")
    train, tested = (np.bincount(labels[side], minlength=len(names)) for side in (~test, test))
    held = [y for y in range(len(names)) if flows[y] or train[y] or tested[y]]

    def listed(classes: list[int]) -> str:
        return ", ".join(
            f"{names[y]} ({train[y]} to train on, {tested[y]} to test on; {flows[y]} flows)" for y in classes
        )

    lines, told = [], set[int]()
    for what, classes in (
        (f"no {one} at all of", [y for y in held if not train[y] + tested[y]]),
        (f"no {one} to test on of", [y for y in held if test.any() and train[y] and not tested[y]]),
        (f"no {one} to train on of", [y for y in held if tested[y] and not train[y]]),
        (f"fewer than {RARE} {one}s of", [y for y in held if train[y] + tested[y] < RARE]),
    ):
        fresh = [y for y in classes if y not in told]
        told.update(fresh)
        if fresh:
            lines.append(f"{what} {listed(fresh)}")
    if told and size > 1:
        lines[-1] += "; where a class is rare, windows of one flow are the most there are: --flows-per-image 1"
    if not test.any():
        lines.append(f"no {one} to test on: commands that measure accuracy need some")
    over = int(flows.sum()) - size * len(labels)
    if over:
        lines.append(f"{over} of {int(flows.sum())} flows are in no window: what is left at the end of a stream")
    absent = [names[y] for y in range(len(names)) if y not in held]
    if absent:
        lines.append(f"no flow of {', '.join(absent)}")
    return lines
