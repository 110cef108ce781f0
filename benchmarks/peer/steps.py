"""Distribution matching in plain PyTorch, as its authors run it, against our loops: client, local step, server step."""

import loops

from collabdm.engine import resolve_engine
from collabdm.matching.statistic import MEAN, MOMENTS
from peer.table import Row, Side
from peer.work import Work, alternately

__all__ = ["rows"]


def rows(work: Work) -> list[Row]:
    """The loops of `loops.py`, on random pixels of CIFAR-10's size: the data of the run have no part in it."""
    engine = resolve_engine("compiled", "cpu", 0.0, own=True).model_copy(update={"processes": 1})
    local, classes = loops.LOCAL_PER_CLASS, loops.CLASSES
    shown = classes * loops.IPC * loops.TILES**2
    pairs = {
        f"client statistics, {classes * loops.BATCH:,} images": (
            loops.ours_statistics(engine),
            loops.plain_statistics(engine),
            "the same sums under one encoder; ours starts from stored bytes",
        ),
        f"local step, {classes * local * loops.TILES**2:,} images": (
            loops.ours_step(engine, local, MOMENTS),
            loops.plain_step(engine, local, real=False),
            "nothing real is embedded on either side, as with `local.reuse`; the authors' code embeds real data again",
        ),
        f"server step, {shown:,} images": (
            loops.ours_step(engine, loops.IPC, MEAN),
            loops.plain_step(engine, loops.IPC, real=False),
            "one step on the images of every class",
        ),
    }
    found = []
    for name, (ours, theirs, told) in pairs.items():
        mine, plain = alternately(ours, theirs, work.sizes.repeats)
        found.append(
            Row(
                work=name,
                theirs=Side(name="plain PyTorch", seconds=plain, dtype="float32"),
                ours=Side(name="collabdm", seconds=mine, dtype=engine.dtype),
                told=told,
            )
        )
    return found
