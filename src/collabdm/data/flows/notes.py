"""What a person should know of the windows before a round is held on them: classes without, flows left over."""

import numpy as np

from collabdm.data.flows.images import ImageSettings

__all__ = ["RARE", "notes"]

RARE = 10
"""A class of fewer windows is told: its test windows are one or two, and tell next to nothing."""


def notes(labels: np.ndarray, test: np.ndarray, flows: np.ndarray, settings: ImageSettings) -> list[str]:
    """A line for each kind of thing to know; none where all is well.

    `labels` int64 [windows], `test` bool [windows] (those for testing), `flows` int64 [classes] read of each class.
    """
    names, size = settings.flow_schema.class_names, settings.flows_per_image
    train, tested = (np.bincount(labels[side], minlength=len(names)) for side in (~test, test))
    held = [y for y in range(len(names)) if flows[y] or train[y] or tested[y]]

    def listed(classes: list[int]) -> str:
        return ", ".join(
            f"{names[y]} ({train[y]} to train on, {tested[y]} to test on; {flows[y]} flows)" for y in classes
        )

    lines, told = [], set[int]()
    for what, classes in (
        ("no window at all of", [y for y in held if not train[y] + tested[y]]),
        ("no window to test on of", [y for y in held if test.any() and train[y] and not tested[y]]),
        ("no window to train on of", [y for y in held if tested[y] and not train[y]]),
        (f"fewer than {RARE} windows of", [y for y in held if train[y] + tested[y] < RARE]),
    ):
        fresh = [y for y in classes if y not in told]
        told.update(fresh)
        if fresh:
            lines.append(f"{what} {listed(fresh)}")
    if told and size > 1:
        lines[-1] += "; where a class is rare, windows of one flow are the most there are: --flows-per-image 1"
    if not test.any():
        lines.append("no window to test on: commands that measure accuracy need some")
    over = int(flows.sum()) - size * len(labels)
    if over:
        lines.append(f"{over} of {int(flows.sum())} flows are in no window: what is left at the end of a stream")
    absent = [names[y] for y in range(len(names)) if y not in held]
    if absent:
        lines.append(f"no flow of {', '.join(absent)}")
    return lines
