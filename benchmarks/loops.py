"""One measurement of every hot loop, ours and plain, in this process; prints JSON. Started by `bench.py`.

python benchmarks/loops.py [--tuned] [--device cuda]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import plain
import torch
from torch.nn import functional

from collabdm.config import load_config
from collabdm.data import Dataset, Samples
from collabdm.data.presets import generic_preset
from collabdm.engine import Engine, resolve_engine, tune_allocator
from collabdm.images.augment import OPERATIONS
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.matching.embedding import class_sums, embedder_for
from collabdm.matching.statistic import MEAN, MOMENTS, Statistic
from collabdm.matching.step import ClassTarget, Descent, Encoding, SyntheticState, Targets, matching_step
from collabdm.modality import draw_augmentation
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream
from collabdm.simulation.sharing import parts_of
from collabdm.simulation.simulate import simulate_on
from collabdm.training.loop import train
from collabdm.training.recipes import RECIPES, Recipe
from collabdm.training.training_set import TrainingSet

SHAPE, CLASSES, REPEATS = (3, 32, 32), 10, 5
NORMALISATION = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
SAMPLE = Images(channels=3, height=32, width=32, normalisation=NORMALISATION)
FORWARD = 0.1015  # GFLOP per image: 3x3 convolutions at 32, 16 and 8 pixels
BATCH, LOCAL_REAL, LOCAL_PER_CLASS, IPC, TILES, SET = 512, 1138, 6, 50, 2, 2000


def main() -> None:
    """Measure everything and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tuned", action="store_true", help="let glibc keep freed memory, as the command line does")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.tuned:
        tune_allocator()
    # One process: starting several would be most of the reduced cell.
    engine = resolve_engine("compiled", given.device, 0.0, own=True).model_copy(update={"processes": 1})
    probed = probe(engine)
    loops = {
        "client_statistics": (ours_statistics(engine), plain_statistics(engine), CLASSES * BATCH, 1),
        "local_step": (
            ours_step(engine, LOCAL_PER_CLASS, MOMENTS),
            plain_step(engine, LOCAL_PER_CLASS, real=False),
            240,
            2,
        ),
        "server_step": (
            ours_step(engine, IPC, MEAN),
            plain_step(engine, IPC, real=False),
            CLASSES * IPC * TILES**2,
            2,
        ),
        "evaluation_epoch": (ours_epoch(engine), plain_epoch(engine), SET, 3),
    }
    measured = {}
    for name, (ours, theirs, images, passes) in loops.items():
        before, spent, after = probe(engine), median(ours), probe(engine)
        slow, peak = median(theirs, repeats=3), statistics.median(before + after)
        probed += before + after
        gflops = passes * FORWARD * images / spent
        measured[name] = {
            "seconds": spent,
            "plain_seconds": slow,
            "images": images,
            "images_per_second": images / spent,
            "gflops": gflops,
            "speedup": slow / spent,
            "probe_gflops": peak,
            "peak_share": gflops / peak,
        }
        print(name, measured[name], file=sys.stderr)
    # The authors embed real data again at every local step; with `local.reuse` nothing real is embedded.
    authors = median(plain_step(engine, LOCAL_PER_CLASS, real=True), repeats=3)
    measured["local_step"] |= {
        "authors_seconds": authors,
        "speedup_with_reuse": authors / measured["local_step"]["seconds"],
    }
    measured["cell"] = reduced_cell(engine, measured)
    print(
        json.dumps(
            {
                "probe_gflops": statistics.median(probed),
                "probe_best": max(probed),
                "engine": engine.model_dump(),
                "loops": measured,
            }
        )
    )


def reduced_cell(engine: Engine, loops: dict[str, dict[str, float]]) -> dict[str, float]:
    """A small part of the authors' CIFAR-10 cell as a whole run, and what plain loops would take for the same counts.

    The cell: 10 clients at beta 0.1, ipc 50, pae, 200 seeds, 1,000 local iterations, one network of 1,000 epochs.
    `full_minutes` and `plain_full_minutes`: every stage scaled up to it.
    """
    seeds, iterations, epochs = 4, 20, 5
    images = Stream(5, "pixels").integers(256, (52_000, *SHAPE)).astype(np.uint8)
    labels = Stream(5, "labels").integers(CLASSES, 52_000)
    classes = tuple(str(y) for y in range(CLASSES))
    train, test = (
        Samples(values=images[part], labels=labels[part], classes=classes)
        for part in (slice(50_000), slice(50_000, None))
    )
    preset = generic_preset("random", SHAPE, classes)
    dataset = Dataset(name="random", train=train, test=test, preset=preset, columns={})
    options = {
        "ipc": IPC,
        "partition.clients": 10,
        "plan.seeds": seeds,
        "plan.batch": BATCH,
        "local.iterations": iterations,
        "server.passes": 1,
        "evaluate.count": 1,
    }
    config = load_config(options=options)
    recipe = RECIPES["fast"].model_copy(update={"epochs": epochs})
    with TemporaryDirectory() as folder, patched(RECIPES, "fast", recipe):
        spent = simulate_on(dataset, config, Path(folder) / "run", engine=engine)["seconds"]
    held = [train.take(rows).counts() for rows in parts_of(config, dataset).values()]
    drawn = seeds * int(sum(np.minimum(counts, BATCH).sum() for counts in held))
    plain_loops = {
        "statistics": drawn * loops["client_statistics"]["plain_seconds"] / loops["client_statistics"]["images"],
        "local": 10 * iterations * loops["local_step"]["authors_seconds"],
        "distill": seeds * loops["server_step"]["plain_seconds"],
        "evaluate": epochs * loops["evaluation_epoch"]["plain_seconds"],
    }
    scale = {"statistics": 200 / seeds, "local": 1000 / iterations, "distill": 200 / seeds, "evaluate": 1000 / epochs}
    return {
        "seconds": spent["total"],
        "plain_seconds": sum(plain_loops.values()),
        "speedup": sum(plain_loops.values()) / spent["total"],
        "full_minutes": sum(spent[stage] * scale[stage] for stage in scale) / 60,
        "plain_full_minutes": sum(plain_loops[stage] * scale[stage] for stage in scale) / 60,
    }


@contextmanager
def patched(table: dict[str, Recipe], name: str, recipe: Recipe) -> Iterator[None]:
    """A shorter recipe under a known name while the cell runs."""
    before = table[name]
    table[name] = recipe
    try:
        yield
    finally:
        table[name] = before


def median(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median seconds of `repeats` runs after one that warms up."""
    run()
    return statistics.median(seconds(run) for _ in range(repeats))


def probe(engine: Engine) -> list[float]:
    """GFLOP/s of the encoder's second and third convolution alone (the engine's chunk and dtype), a dozen times.

    Run just before and after each loop, and compared by medians on both sides: on a shared machine the peak of another
    second says nothing.
    """
    weight, *given = (
        torch.randn(shape).to(engine.device, engine.torch_dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((128, 128, 3, 3), *((engine.chunk, 128, side, side) for side in (16, 8)))
    )

    def run() -> None:
        with torch.no_grad():
            for _ in range(20):
                for images in given:
                    functional.conv2d(images, weight, padding=1)

    flop = 20 * engine.chunk * sum(2 * 128 * 128 * 9 * side * side for side in (16, 8))
    run()
    return [flop / seconds(run) / 1e9 for _ in range(12)]


def seconds(run: Callable[[], object]) -> float:
    """What one run takes."""
    _settle()
    started = time.perf_counter()
    run()
    _settle()
    return time.perf_counter() - started


def _settle() -> None:
    """An accelerator works on after the call that gave it work."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def images_of(count: int, engine: Engine) -> torch.Tensor:
    """Random normalised images where the engine computes."""
    return torch.from_numpy(Stream(1, "images", count).uniform((count, *SHAPE), -2, 2)).float().to(engine.device)


def ours_statistics(engine: Engine) -> Callable[[], object]:
    """All statistics of a seed from stored pixels, as a client computes them."""
    pixels = Stream(2, "pixels").integers(256, (5000, *SHAPE)).astype(np.uint8)
    embedder = embedder_for(NetworkSpec(), SHAPE, engine)
    drawn = {y: Stream(3, y).choose(5000, BATCH) for y in range(CLASSES)}
    shown = {y: draw_augmentation(Stream(4, y), tuple(OPERATIONS)) for y in range(CLASSES)}
    return lambda: class_sums(embedder, embedder.encoder(7), pixels, drawn, shown, SAMPLE, MOMENTS.terms)


def plain_statistics(engine: Engine) -> Callable[[], object]:
    """The same from float images that are there already."""
    real = images_of(5000, engine)
    return lambda: plain.statistics(real, BATCH)


def ours_step(engine: Engine, per_class: int, statistic: Statistic) -> Callable[[], object]:
    """A joint step on `per_class` stored images of every class."""
    embedder = embedder_for(NetworkSpec(), SHAPE, engine)
    images = images_of(CLASSES * per_class, engine)
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    state = SyntheticState(samples=images, labels=labels, momentum=torch.zeros_like(images))
    value = torch.rand(statistic.rows(embedder.features), embedder.features, device=images.device)
    classes = {
        y: ClassTarget(value=value, drawn=BATCH, augmentation=draw_augmentation(Stream(4, y), tuple(OPERATIONS)))
        for y in range(CLASSES)
    }
    return lambda: matching_step(
        state,
        Targets(statistic=statistic, classes=classes),
        Encoding(embedder=embedder, parameters=embedder.encoder(7), sample=SAMPLE, tiles=TILES),
        Descent(lr=1.0, momentum=0.5),
    )


def plain_step(engine: Engine, per_class: int, *, real: bool) -> Callable[[], object]:
    """The authors' step; with `real`, those of a middling client's real images that it draws are embedded too."""
    synthetic = images_of(CLASSES * per_class, engine)
    given = images_of(LOCAL_REAL, engine) if real else None
    return lambda: plain.distillation_step(synthetic, given, LOCAL_REAL // CLASSES, TILES)


def ours_epoch(engine: Engine) -> Callable[[], object]:
    """One epoch of training a classifier on a set of 2,000 images."""
    training = TrainingSet(
        samples=images_of(SET, engine),
        labels=torch.arange(SET) % CLASSES,
        sample=SAMPLE,
        augment=tuple(OPERATIONS),
    )
    recipe = Recipe(name="bench", count=1, epochs=1)
    return lambda: train(training, NetworkSpec(), classes=CLASSES, recipe=recipe, seed=0, engine=engine)


def plain_epoch(engine: Engine) -> Callable[[], object]:
    """The same in plain torch."""
    images = images_of(SET, engine)
    labels = torch.arange(SET, device=images.device) % CLASSES
    return lambda: plain.training_epoch(images, labels, 256)


if __name__ == "__main__":
    main()
