"""At what scale an experiment is run: the paper's, the same with our best settings, and documented reductions.

- `paper`: the paper's recipe. Per-class steps, one pass at rate 10, uniform weights, all six augmentations; T 200,
  B 512, 1000 local iterations on fresh batches; 20 networks trained for 1000 epochs; 5 repeats of the whole.
- `best`: the same bytes and scale with our defaults: joint steps, five passes at rate 20 on a cosine, weights by count,
  local reuse, the data set's own augmentations.
- `cpu`: the paper's recipe with T 100, B 128, 300 local iterations with reuse, and one network trained for 200 epochs
  at rate 0.02 (the protocol `fast`, which shows at most 400,000 samples), once.
- `cpu-best`: our defaults with the reductions of `cpu`.
- `smoke`: does it run? The paper's recipe with T 10, B 32, 20 local iterations with reuse, width 32, ipc 50 as 5 and 10
  as 3, one network of 10 epochs, on 1,300 training and 500 test images; scikit-learn's digits stand in for data that
  are not given. Only part of each grid. Its accuracies say nothing.

In all of them a client sends of every class that it holds (`plan.min_held=1`), as in the paper: the data are public.

Rivals: `paper` and `best` take their authors' settings (docs/rivals.md, docs/settings.md) with the exceptions that
docs/experiments.md lists; `cpu` and `cpu-best` the reduced defaults; `smoke` a few steps of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from collabdm.errors import ConfigError, unknown_name

__all__ = ["SCALES", "Scale", "scale_named"]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One row of the table above.

    `base`: the preset of `collabdm.config` below the `settings` (`key=value`). `whole`: whether grids are crossed
    whole; else an experiment keeps one value of most factors. `large`: whether data are in that ask for a graphics
    card, where an experiment has smaller ones too. `ipc`: images per class that stand for the wanted ones.
    `images`: at most so many training and test images are kept; `stand_in`: data for what was not given.
    """

    name: str
    summary: str
    base: str
    settings: tuple[str, ...]
    whole: bool = True
    large: bool = True
    ipc: Mapping[int, int] = field(default_factory=dict)
    images: tuple[int, int] | None = None
    stand_in: str | None = None

    def reduced(self, ipc: int) -> int:
        """Images per class at this scale, where the paper's scale has `ipc`."""
        return self.ipc.get(ipc, ipc)


_AUTHORS = (
    *("rivals.training.epochs=100", "rivals.training.batch=128", "rivals.training.lr=0.01"),
    "rivals.training.weight_decay=0.0",
    *("rivals.dense.epochs=200", "rivals.dense.batch=256", "rivals.dense.generator_width=64"),
    *("rivals.dense.generator_steps=30", "rivals.dense.generator_lr=0.001", "rivals.dense.restart=true"),
    "rivals.dense.lr=0.005",
    *("rivals.co_boosting.epochs=200", "rivals.co_boosting.generator_width=64"),
    *("rivals.co_boosting.generator_steps=30", "rivals.co_boosting.generator_lr=0.001"),
    "rivals.co_boosting.restart=true",
    "rivals.fedd3.batch=5000",
    *("rivals.dosfl.iterations=60000", "rivals.dosfl.lr=0.001", "rivals.dosfl.unroll=200", "rivals.dosfl.window=60"),
    *("rivals.dosfl.inner_lr=0.001", "rivals.dosfl.batch=5000", "rivals.dosfl.width=128"),
    *("rivals.feddm.iterations=1000", "rivals.feddm.batch=256"),
)
_PAPER = ("partition.kind=dirichlet-reserved", "server.weighting=uniform")
_REDUCED = (
    *("plan.seeds=100", "plan.batch=128", "local.iterations=300", "local.reuse=true"),
    *("evaluate.protocol=fast", "evaluate.count=1"),
)
_FEW_STEPS = (
    *("rivals.training.epochs=1", "rivals.training.least_steps=30"),
    *("rivals.dense.epochs=3", "rivals.dense.generator_steps=4", "rivals.dense.student_steps=8"),
    *("rivals.co_boosting.epochs=3", "rivals.co_boosting.generator_steps=4", "rivals.co_boosting.student_steps=8"),
    "rivals.fedd3.iterations=20",
    *("rivals.dosfl.iterations=5", "rivals.dosfl.unroll=6", "rivals.dosfl.window=2"),
    "rivals.feddm.iterations=10",
    *("rivals.strawman_gradient.rounds=5", "rivals.strawman_meta.rounds=5"),
)

SCALES: dict[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            name="paper",
            summary="the paper's recipe: 20 networks, 1000 epochs, 5 repeats",
            base="paper",
            settings=(*_PAPER, "repeats=5", *_AUTHORS),
        ),
        Scale(
            name="best",
            summary="our best settings at the paper's scale and bytes",
            base="default",
            settings=(_PAPER[0], "plan.min_held=1", "evaluate.protocol=paper", "repeats=5", *_AUTHORS),
        ),
        Scale(
            name="cpu",
            summary="the paper's recipe, reduced: T 100, B 128, 300 local iterations, one network for 200 epochs",
            base="paper",
            settings=(*_PAPER, *_REDUCED),
            large=False,
        ),
        Scale(
            name="cpu-best",
            summary="our best settings, reduced as cpu",
            base="default",
            settings=(_PAPER[0], "plan.min_held=1", *_REDUCED),
            large=False,
        ),
        Scale(
            name="smoke",
            summary="does it run: minutes, few images, part of each grid; its accuracies say nothing",
            base="paper",
            settings=(
                *_PAPER,
                *("plan.seeds=10", "plan.batch=32", "local.iterations=20", "local.reuse=true"),
                *("plan.network={name='convnet',width=32}", "evaluate.protocol=fast"),
                *("evaluate.count=1", "evaluate.epochs=10"),
                *_FEW_STEPS,
            ),
            whole=False,
            large=False,
            ipc={295: 20, 50: 5, 20: 4, 10: 3, 5: 2},
            images=(1300, 500),
            stand_in="digits",
        ),
    )
}


def scale_named(name: str) -> Scale:
    """The scale, or a `ConfigError` that lists them."""
    if name not in SCALES:
        raise ConfigError(unknown_name("--preset", name, SCALES))
    return SCALES[name]
