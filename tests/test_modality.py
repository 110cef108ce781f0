"""What any samples can do without a word of their own, by a modality of four lines."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from collabdm.client import contribute
from collabdm.config import ServerSpec
from collabdm.data import Samples
from collabdm.engine import EAGER
from collabdm.errors import ConfigError, DataError
from collabdm.initial_set import initial_set
from collabdm.modalities import MODALITIES, modality_in
from collabdm.modality import Augmentation, Labelled, Modality, Operation, draw_augmentation
from collabdm.networks import NETWORKS
from collabdm.networks.base import Network
from collabdm.protocol import Contribution, Plan, decode_contribution, decode_plan, encode_contribution, encode_plan
from collabdm.randomness import Stream
from collabdm.server import distill

N = 5


def _shifted(samples: Tensor, uniforms: np.ndarray) -> Tensor:
    return samples + torch.from_numpy(uniforms[:, :1]).to(samples.dtype)


class Rows(Modality, frozen=True):
    """Rows of numbers, as they are."""

    kind: Literal["rows"] = "rows"
    columns: int

    plural: ClassVar[str] = "rows"
    operations: ClassVar[dict[str, Operation]] = {"shift": _shifted}
    network: ClassVar[str] = "line"

    @property
    def shape(self) -> tuple[int, ...]:
        """So many columns."""
        return (self.columns,)

    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> Tensor:
        """The numbers."""
        return torch.from_numpy(values).to(device, dtype)


class Blocks(Rows, frozen=True):
    """The same numbers as planes, to see that shapes are anyone's."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Two planes."""
        return 2, self.columns, 3


ROWS = Rows(columns=N)
every = pytest.mark.parametrize("sample", [ROWS, Blocks(columns=4)])


def some(count: int, sample: Modality = ROWS, seed: int = 1) -> Tensor:
    return torch.from_numpy(Stream(seed, "rows").uniform((count, *sample.shape), -2, 3)).float()


@every
def test_one_tile_is_all_there_is(sample: Modality) -> None:
    sample.check_tiles(1)
    samples = some(3, sample)
    assert torch.equal(sample.expand(samples, 1), samples)
    assert torch.equal(sample.pack(samples, 1), samples)


@every
@pytest.mark.parametrize("tiles", [0, 2, -1])
def test_samples_that_cannot_be_cut_refuse_tiles(sample: Modality, tiles: int) -> None:
    for refused in (
        lambda: sample.check_tiles(tiles),
        lambda: sample.expand(some(4, sample), tiles),
        lambda: sample.pack(some(4, sample), tiles),
    ):
        with pytest.raises(ConfigError, match=f"tiles of rows: got {tiles}; expected 1; fix: set plan.tiles to 1"):
            refused()


@every
@given(received=st.integers(1, 5), count=st.integers(1, 9), seed=st.integers(0, 99))
def test_a_made_sample_is_a_mix_of_two_received(sample: Modality, received: int, count: int, seed: int) -> None:
    union = some(received, sample)
    made = sample.made_of(Stream(seed, "made"), union, count, 1)
    assert (made.dtype, made.shape) == (torch.float32, (count, *sample.shape))
    assert torch.equal(made, sample.made_of(Stream(seed, "made"), union, count, 1))
    for one in made.flatten(1).double():
        fits = []
        for a in union.flatten(1).double():
            for b in union.flatten(1).double():
                length = float((a - b).square().sum())
                share = float((one - b) @ (a - b)) / length if length else 0.5
                nearest = b + share * (a - b)
                fits.append(0.25 - 1e-4 <= share <= 0.75 + 1e-4 and bool((one - nearest).abs().max() < 1e-5))
        assert any(fits)


@every
def test_a_sample_that_has_no_other_views_is_shown_as_it_is(sample: Modality) -> None:
    shown = some(2, sample)
    assert sample.viewed(("shift",)) == ()
    assert [view is shown for view in sample.views(shown, ("shift",))] == [True]


@every
def test_the_centre_is_the_mean_of_every_number(sample: Modality) -> None:
    received = some(7, sample)
    centre = sample.centre(received)
    assert centre.shape == (1, *sample.shape)
    np.testing.assert_allclose(centre[0], received.double().numpy().mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("rows_registered")
def test_a_class_of_which_nothing_came_starts_about_the_centre() -> None:
    plan = _plan(ipc=200)
    sent = [contribute(plan, name, held) for name, held in _sites().items()]
    without = [_without(one, 1) for one in sent]
    start = initial_set(plan, without)
    assert start.topped_up[1] == 200
    received = np.concatenate([one.samples for one in without])
    own = start.samples[start.labels == 1].numpy()
    np.testing.assert_allclose(own.mean(axis=0), received.mean(axis=0), atol=0.35 * received.std())


def test_an_augmentation_is_the_operation_of_its_name_or_nothing() -> None:
    samples = some(3)
    assert ROWS.augment(samples, None) is samples
    shared = Augmentation(operation="shift", uniforms=np.array([[0.25, 0, 0]]))
    assert torch.equal(ROWS.augment(samples, shared), samples + 0.25)
    each = Augmentation(operation="shift", uniforms=np.array([[0.25, 0, 0], [0.5, 0, 0], [0.0, 0, 0]]))
    expected = samples + torch.tensor([[0.25], [0.5], [0.0]])
    assert torch.equal(ROWS.augment(samples, each), expected)
    assert torch.equal(ROWS.augment(samples[1:], each.of(np.array([1, 2]))), expected[1:])
    assert shared.of(np.array([1, 2])) is shared


def test_samples_are_mixed_by_weight_unless_a_modality_knows_better() -> None:
    samples, partners = some(4), some(4).flip(0) + 1
    uniforms = Stream(8, "mix").uniform((4, 3))
    mixed, share = ROWS.mix(samples, partners, uniforms)
    assert share.tolist() == pytest.approx(uniforms[:, 0].tolist(), abs=1e-6)
    for i, weight in enumerate(uniforms[:, 0].tolist()):
        assert torch.allclose(mixed[i], weight * samples[i] + (1 - weight) * partners[i], atol=1e-6)


def test_no_operations_draw_nothing() -> None:
    assert draw_augmentation(Stream(1), tuple(Modality.operations)) is None
    drawn = draw_augmentation(Stream(1), tuple(ROWS.operations), count=4)
    assert drawn is not None
    assert (drawn.operation, drawn.uniforms.shape) == ("shift", (4, 3))


def test_samples_of_another_shape_are_refused() -> None:
    ROWS.check((N,))
    for shape in ((N + 1,), (1, N), ()):
        with pytest.raises(DataError, match=r"shape of the rows: got .*expected \(5,\); fix: bring the rows"):
            ROWS.check(shape)


def test_facts_make_the_description_and_only_auto_normalisation() -> None:
    assert Rows.declared({"columns": 4}, "auto") == Rows(columns=4)
    with pytest.raises(ConfigError, match=r"plan\.normalisation: got one for rows; expected auto"):
        Rows.declared({"columns": 4}, "standard")
    with pytest.raises(ConfigError, match=r"declared data: got a shape \[4\] alone"):
        Rows.preset_of("some.npz", (4,), ("a", "b"))
    with pytest.raises(ValidationError):
        Rows.declared({"columns": 4, "height": 3}, "auto")


def test_a_shape_is_numbers_with_x_between_them() -> None:
    assert Rows.shape_in("7") == (7,)
    assert Rows.shape_in("3x40x2") == (3, 40, 2)
    for text in ("", "x", "3x", "0", "3x-1", "3 x 4", "1000000", "٣"):
        with pytest.raises(ConfigError, match="--shape: got"):
            Rows.shape_in(text)


@every
def test_there_is_a_card_and_an_export_without_a_picture(sample: Modality, tmp_path: Path) -> None:
    shown = Labelled(samples=some(3, sample), labels=torch.tensor([0, 2, 2]), classes=("a", "b|c", "d"))
    assert shown.counts == [1, 0, 2]
    assert sample.described == "x".join(map(str, sample.shape))
    assert sample.pictures(shown.samples) is None
    assert sample.preview(shown) is None
    assert sample.write_folder(tmp_path / "folder", shown) is False
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(sample.to_arrays(shown.samples)["x"], shown.samples.numpy())
    assert torch.equal(sample.exported(shown.samples), shown.samples)
    card = sample.card(shown, 1)
    assert card.task == ""
    assert card.summary == f"3 rows ({sample.described}) of 3 classes."
    assert card.classes.splitlines()[2:] == ["| 0 | a | 1 |", r"| 1 | b\|c | 0 |", "| 2 | d | 2 |"]
    dataset = sample.to_huggingface(shown)
    assert dataset.column_names == ["values", "label"]
    assert dataset.features["label"].names == ["a", "b|c", "d"]
    assert np.array_equal(np.array(dataset["values"][:], np.float32), shown.samples.numpy())


def test_what_a_subclass_must_say_is_asked_for() -> None:
    class Bare(Modality, frozen=True):
        kind: Literal["bare"] = "bare"

    with pytest.raises(TypeError, match=r"shape.*tensors"):
        Bare()  # pyright: ignore[reportAbstractUsage]


def _line(shape: tuple[int, ...], classes: int, *, width: int = 8) -> Network:
    (columns,) = shape
    return Network(nn.Sequential(nn.Linear(columns, width), nn.ReLU()), width, classes)


@pytest.fixture(scope="module")
def rows_registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODALITIES, "rows", Rows)
        patch.setitem(NETWORKS, "line", _line)
        yield


def _plan(**changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "seed": 3,
        "clients": ("a", "b"),
        "classes": ("x", "y"),
        "sample": {"kind": "rows", "columns": N},
        "network": {"name": "line", "width": 8},
        "ipc": 3,
        "seeds": 3,
        "batch": 6,
        "augment": ("shift",),
        "statistics": "moments",
        "local": {"iterations": 2},
    }
    return Plan.model_validate(fields | changes)


def _sites() -> dict[str, Samples]:
    sites = {}
    for k, name in enumerate("ab"):
        labels = np.arange(9) % 2
        values = Stream(k, "site").uniform((9, N), -1, 1) + 2 * labels[:, None]
        sites[name] = Samples(values=values.astype(np.float32), labels=labels, classes=("x", "y"))
    return sites


def _without(contribution: Contribution, y: int) -> Contribution:
    kept = contribution.labels != y
    return replace(contribution, samples=contribution.samples[kept], labels=contribution.labels[kept])


@pytest.mark.usefixtures("rows_registered")
@pytest.mark.parametrize("encoding", ["fp32", "fp16", "int8"])
def test_a_round_of_rows_needs_no_more_than_that(encoding: str) -> None:
    plan = _plan(encoding=encoding)
    assert decode_plan(encode_plan(plan)) == plan
    arrived = []
    for name, held in _sites().items():
        sent = contribute(plan, name, held, engine=EAGER)
        got = decode_contribution(encode_contribution(sent, plan), plan)
        np.testing.assert_allclose(got.samples, sent.samples, atol=0.0 if encoding == "fp32" else 2e-3)
        arrived.append(got)
    product = distill(plan, arrived, ServerSpec(passes=1, lr=0.5))
    assert product.samples.shape == (6, N)
    assert product.sample == Rows(columns=N)
    # Class y lies two above class x.
    means = [product.samples[product.labels == y].mean() for y in (0, 1)]
    assert means[1] - means[0] > 1


@pytest.mark.usefixtures("rows_registered")
def test_a_kind_is_looked_up_and_checks_the_rest() -> None:
    assert modality_in({"kind": "rows", "columns": 4}) == Rows(columns=4)
    assert modality_in(7) == 7
    with pytest.raises(ValueError, match="kind must be one of images, tables, series, rows, got 'sounds'"):
        modality_in({"kind": "sounds", "columns": 4})
    with pytest.raises(ValidationError, match="columns"):
        modality_in({"kind": "rows"})
    with pytest.raises(ConfigError, match="tiles of rows: got 2"):
        _plan(tiles=2)
    with pytest.raises(ValidationError, match=r"augmentation .*'flip'.* unknown; known: .*'shift'"):
        _plan(augment=("flip",))
    with pytest.raises(ConfigError, match="samples of convnet"):
        contribute(_plan(network={"name": "convnet"}), "a", _sites()["a"])
    assert json.loads(encode_plan(_plan()))["sample"] == {"columns": N, "kind": "rows"}
