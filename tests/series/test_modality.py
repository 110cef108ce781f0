"""Series as samples: what a plan may say, what a site's data must be, and what it is told."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from collabdm.config import load_config
from collabdm.data import Samples
from collabdm.errors import ConfigError, DataError, DataWarning
from collabdm.images.pixels import Normalisation
from collabdm.modality import Labelled
from collabdm.planning import make_plan
from collabdm.protocol import decode_plan, encode_plan
from collabdm.randomness import Stream
from collabdm.series.modality import Series


def series_of(channels: int = 2, length: int = 6, **given: Any) -> Series:
    return Series.model_validate({"channels": channels, "length": length, **given})


def shown(sample: Series, count: int = 6) -> Labelled:
    samples = torch.from_numpy(Stream(1, "series").uniform((count, *sample.shape), -2, 2)).float()
    labels = torch.arange(count) % 2
    return Labelled(samples=samples, labels=labels, classes=("on foot", "by $bike$, fast"))


def told(sample: Series, values: np.ndarray) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sample.check_values(values)
    assert all(one.category is DataWarning for one in caught)
    return "; ".join(str(one.message) for one in caught)


def test_the_description_is_of_one_series() -> None:
    assert series_of().shape == (2, 6)
    assert series_of().described == "2 channels x 6 steps"
    assert series_of(1, 99).described == "1 channel x 99 steps"


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 0},
        {"channels": 1025},
        {"length": 0},
        {"length": 2**16 + 1},
        {"standardise": "pooled"},
        {"standardise": "declared"},
        {"standardise": "declared", "offset": [0.0], "scale": [1.0]},
        {"standardise": "declared", "offset": [0.0, 0.0], "scale": [1.0, 0.0]},
        {"standardise": "declared", "offset": [0.0, float("nan")], "scale": [1.0, 1.0]},
        {"offset": [0.0, 0.0], "scale": [1.0, 1.0]},
        {"fit": "wrap"},
        {"front_end": "mfcc"},
        {"window": 3},
    ],
)
def test_a_strangers_plan_is_held_to_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        series_of(**wrong)


def test_a_plan_has_at_most_a_million_values_a_series() -> None:
    series_of(16, 2**16).check_plan()
    with pytest.raises(ValueError, match="at most 1048576 values, got 17 channels of 65536 steps"):
        series_of(17, 2**16).check_plan()


def test_facts_and_a_normalisation_make_the_description() -> None:
    facts = {"channels": 1, "length": 5}
    assert Series.declared(facts, "auto") == series_of(1, 5)
    declared = Series.declared(facts, Normalisation(mean=(3.0,), std=(2.0,)))
    assert declared == series_of(1, 5, standardise="declared", offset=(3.0,), scale=(2.0,))
    values = np.array([[[1, 3, 5, 7, 9]]], np.float32)
    assert declared.tensors(values, device="cpu", dtype=torch.float32).tolist() == [[[-1, 0, 1, 2, 3]]]
    with pytest.raises(ConfigError, match=r"facts of series: got .*expected channels and length"):
        Series.declared({"shape": (1, 8, 8)}, "auto")


def test_a_shape_alone_is_enough_for_a_plan() -> None:
    assert Series.preset_of("x", (3, 50), ("a", "b")).sample == {"channels": 3, "length": 50}
    assert Series.preset_of("x", (50,), ("a", "b")).sample == {"channels": 1, "length": 50}
    with pytest.raises(ConfigError, match="shape of series"):
        Series.preset_of("x", (3, 5, 5), ("a", "b"))


def test_settings_change_what_the_data_propose() -> None:
    settings = ["modality=series", "plan.sample.length=4", "plan.sample.fit=resample", "method=collabdm"]
    preset = Series.preset_of("x", (2, 50), ("a", "b"))
    plan = make_plan(load_config(settings=settings), clients=["s", "t"], preset=preset)
    assert plan.sample == series_of(2, 4, fit="resample")
    assert (plan.network.name, plan.features, plan.augment) == ("convnet1d", None, ("shift",))
    assert decode_plan(encode_plan(plan)) == plan
    for wrong, expected in (
        ("typo=1", "plan: sample.typo"),
        ("length=0", "plan: sample.length"),
        ("kind=images", "kind"),
    ):
        config = load_config(settings=["modality=series", f"plan.sample.{wrong}"])
        with pytest.raises(ConfigError, match=expected):
            make_plan(config, clients=["s", "t"], preset=preset)
    with_gram = load_config(settings=[*settings, 'plan.statistics=["mean","gram"]'])
    features = make_plan(with_gram, clients=["s", "t"], preset=preset).features
    assert features is not None
    assert features.name == "rocket"


def test_channels_must_agree_and_lengths_need_not() -> None:
    series_of(2, 6).check((2, 99))
    series_of(1, 6).check((9,))
    with pytest.raises(DataError, match=r"shape of the series: got \[3, 6\]; expected 2 channels"):
        series_of(2, 6).check((3, 6))
    with pytest.raises(DataError, match=r"put the channels before the steps: x\.transpose\(0, 2, 1\)"):
        series_of(2, 6).check((6, 2))
    with pytest.raises(DataError, match=r"the bands of sounds; fix: give a folder of \.wav files"):
        series_of(40, 6, front_end="log-mel").check((1, 16000))
    with pytest.raises(DataError, match="shape of the series"):
        series_of(2, 6).check((2, 6, 6))


def test_what_is_changed_is_told_in_one_line() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 2, 6)
    assert told(series_of(), values) == ""
    assert told(series_of(length=5), values) == "of 2 series 2 are longer (cut)"
    assert told(series_of(length=9, fit="zero"), values) == (
        "of 2 series 2 are shorter than 9 steps (filled with their mean)"
    )
    values[0, 0, 2] = values[0, 1, 5] = np.nan
    values[1, 1] = np.nan
    assert told(series_of(), values) == (
        "of 2 series 2 have gaps (filled along straight lines); 1 channels have no value (taken as 0)"
    )
    declared = series_of(1, 3, standardise="declared", offset=(0.0,), scale=(1.0,))
    far = np.array([[[1, 2, 101]], [[-1e6, 0, 1]]], np.float32)
    assert told(declared, far) == "of 2 series 2 values are over 100 scales from the offset (clipped)"
    assert declared.tensors(far, device="cpu", dtype=torch.float32)[:, 0].tolist() == [[1, 2, 100], [-100, 0, 1]]
    assert told(series_of(), np.zeros((1, 2, 6), np.uint8)) == ""


def test_infinity_and_empty_series_are_refused_by_row() -> None:
    values = np.ones((3, 2, 6), np.float32)
    values[1, 1, 2] = -np.inf
    with pytest.raises(DataError, match="values of the series, row 1: got infinity"):
        series_of().check_values(values)
    values[1, 1, 2], values[2] = 0, np.nan
    with pytest.raises(DataError, match="values of the series, row 2: got nothing but NaN"):
        series_of().check_values(values)


def test_one_channel_may_be_stored_without_its_axis() -> None:
    values = Stream(4, "series").uniform((3, 6), -1, 1).astype(np.float32)
    sample = series_of(1, 6)
    flat, full = (sample.tensors(v, device="cpu", dtype=torch.float32) for v in (values, values[:, None]))
    assert torch.equal(flat, full)
    assert told(sample, values) == ""
    clients = {"s": Samples(values=values, labels=np.array([0, 1, 0]), classes=("a", "b"))}
    config = load_config(settings=["modality=series", "method=collabdm"])
    assert make_plan(config, clients=clients).sample == sample


def test_files_and_pictures(tmp_path: Path) -> None:
    for channels in (1, 2, 9):
        sample = series_of(channels, 30)
        pictures, preview = sample.pictures(shown(sample).samples), sample.preview(shown(sample))
        assert (pictures.dtype, pictures.shape) == (np.uint8, (6, 3, 64, 64))
        assert pictures.std() > 5
        assert preview[:8] == b"\x89PNG\r\n\x1a\n"
        assert preview == sample.preview(shown(sample))
    assert sample.write_folder(tmp_path / "series", shown(sample))
    assert sorted(path.name for path in (tmp_path / "series").iterdir()) == ["train.parquet", "train.ts"]


def test_a_small_picture_is_the_line() -> None:
    """A line that rises from the lower left to the upper right."""
    line = torch.linspace(-1, 1, 20).view(1, 1, 20)
    dark = series_of(1, 20).pictures(line)[0].min(axis=0) < 200
    for column in range(2, 62, 6):
        rows = np.flatnonzero(dark[:, column])
        assert abs(rows.mean() - (63 - column)) < 6


def test_the_card_says_how_a_real_series_is_brought_to_it() -> None:
    card = series_of(2, 6).card(shown(series_of(2, 6)), 1)
    assert "6 series (2 channels x 6 steps)" in card.summary
    assert "standardised by its own mean and spread over all channels" in card.loading
    assert "goes on with its last value" in card.loading
    assert "no sound" not in card.loading
    assert "no sound can be heard" in series_of(40, 6, front_end="log-mel").card(shown(series_of(40, 6)), 1).loading


@pytest.mark.parametrize(("channels", "length", "sent"), [(1, 24, 10), (4, 2048, 10), (1, 8193, 4)])
def test_of_series_that_are_small_beside_the_means_sites_send_as_many_as_the_set_will_have(
    channels: int, length: int, sent: int
) -> None:
    config = load_config(settings=["modality=series", "method=collabdm", "ipc=10"])
    preset = Series.preset_of("mine", (channels, length), ("a", "b"))
    plan = make_plan(config, clients=("north", "east", "south"), preset=preset)
    assert (plan.local.method, plan.local_per_class, plan.clustered) == ("kmeans", sent, sent == 10)
    assert config.server.fitted(plan).lr == 1.0
    alone = load_config(settings=["modality=series", "method=local-dm", "ipc=10"])
    united = make_plan(alone, clients=plan.clients, preset=preset)
    assert (united.local.method, united.local_per_class) == ("dm", 4)
