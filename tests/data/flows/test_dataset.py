import json
from pathlib import Path

import datasets
import datasets.config
import numpy as np
import pytest

from collabdm.data import load_dataset
from collabdm.data.flows import split
from collabdm.data.flows.chunk import joined
from collabdm.data.flows.dataset import images_of, save_images
from collabdm.data.flows.facts import flow_facts
from collabdm.data.flows.images import ImageSettings, window_image
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.windows import WindowKind, windows
from collabdm.errors import ConfigError, DataError
from data.flows.tiny_flows import tiny_schema, write_csv

STATIONS = {"kind": "rows", "names": ["north", "south"], "edges": [130]}
KINDS = ["ok", "scan", "flood", "odd"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    rows = [f"{n},{n % 7},{n % 256},{n},{'FIN' if n % 2 else 'CON'},tcp,x,{KINDS[n // 10 % 4]}" for n in range(260)]
    return write_csv(tmp_path / "flows.csv", *rows)


def test_the_data_set_that_is_loaded_is_the_windows_of_the_file(tmp_path: Path, flows: Path) -> None:
    schema = tiny_schema(station=STATIONS)
    settings = ImageSettings(flow_schema=schema, side=5, flows_per_image=4)
    made = images_of(flows, settings, test_share=0.2)
    facts = save_images(made, tmp_path / "images", source={"file": "flows.csv", "synthetic": True})
    data = load_dataset(str(tmp_path / "images"))
    assert data.train.classes == schema.class_names == data.test.classes
    everything = joined(list(read_flows(flows, schema)))
    assert everything.types is not None
    test = split.test_side(everything.stations, everything.types, size=4, share=0.2)
    kept = {"train": everything.take(~test), "test": everything.take(test)}
    expected = {part: list(windows([side], schema)) for part, side in kept.items()}
    for part, samples in (("train", data.train), ("test", data.test)):
        images = [window_image(window.values, side=5, layout="flat") for window in expected[part]]
        assert np.array_equal(samples.values, np.stack(images))
        assert samples.labels.tolist() == [window.label for window in expected[part]]
    trained = expected["train"]
    assert data.columns["station"].tolist() == [STATIONS["names"][window.station] for window in trained]
    assert data.columns["type"].tolist() == [KINDS[window.type or 0] for window in trained]
    assert data.columns["first_line"].tolist() == [window.first_line for window in trained]
    # 40 or 30 flows of each of the four kinds at each station: 10 or 7 windows.
    assert facts["windows"]["total"] == {"benign": 17, "scan": 17, "other": 28}
    for part, samples in (("train", data.train), ("test", data.test)):
        shown = [sum(facts["windows"][part][name].values()) for name in schema.class_names]
        assert shown == samples.counts().tolist()
    assert data.facts == {"flows": settings.model_dump(mode="json"), "synthetic_flows": True}
    assert ImageSettings.model_validate(data.facts["flows"]) == settings
    # A pixel's place is its column: nothing is turned, shifted or cut out.
    assert data.preset.augment == ()


@pytest.mark.parametrize("kind", ["pure", "time"])
def test_no_flow_is_on_both_sides_whatever_the_window(flows: Path, kind: WindowKind) -> None:
    schema = tiny_schema(station=STATIONS)
    settings = ImageSettings(flow_schema=schema, side=9, flows_per_image=4, window=kind, keep_leaking=True)
    made = images_of(flows, settings, test_share=0.2)
    # The first pixel of a flow is its number in the file: 255 of 1000, so four flows look alike.
    numbers = made.images[:, 0].reshape(len(made.images), -1)[:, :24].reshape(-1, 4, 6)[:, :, 0]
    whole = joined(list(read_flows(flows, schema, keep_leaking=True)))
    assert whole.types is not None
    test = split.test_side(whole.stations, whole.types, size=4, share=0.2)
    pixels = np.rint(whole.values[:, 0] * 255)
    assert set(numbers[made.test].reshape(-1).tolist()) <= set(pixels[test].tolist())
    assert set(numbers[~made.test].reshape(-1).tolist()) <= set(pixels[~test].tolist())
    assert made.test.any()
    unsplit = images_of(flows, settings, test_share=0)
    # Pure windows lose nothing to the split; mixed ones one a station at most.
    assert len(unsplit.images) - len(made.images) in ([0] if kind == "pure" else [0, 1, 2])
    if kind == "pure":
        assert sorted(map(bytes, unsplit.images)) == sorted(map(bytes, made.images))


def test_flows_too_few_for_a_window_are_refused_and_nothing_is_written(tmp_path: Path, flows: Path) -> None:
    settings = ImageSettings(flow_schema=tiny_schema(), side=20, flows_per_image=300)
    with pytest.raises(DataError, match="--flows-per-image"):
        images_of(flows, settings, test_share=0.2)
    assert [path.name for path in tmp_path.iterdir()] == ["flows.csv"]


def test_an_official_test_file_is_for_testing_and_all_of_the_other_for_training(tmp_path: Path, flows: Path) -> None:
    schema = tiny_schema(station=STATIONS)
    settings = ImageSettings(flow_schema=schema, side=5, flows_per_image=4)
    rows = [f"{n},{n % 5},{n % 200},{n},RST,udp,x,{KINDS[n // 20 % 2]}" for n in range(160)] + [""]
    official = write_csv(tmp_path / "official.csv", *rows)
    made = images_of(flows, settings, test_path=official)
    alone = images_of(flows, settings, test_share=0)
    assert np.array_equal(made.images[~made.test], alone.images)
    # The rows of the rule are those of the training file: the test file is one station, and may be longer.
    one = images_of(official, settings.model_copy(update={"flow_schema": tiny_schema()}), test_share=0)
    assert np.array_equal(made.images[made.test], one.images)
    assert np.array_equal(made.lines[made.test], one.lines)
    facts = save_images(made, tmp_path / "images", source={"file": "flows.csv", "synthetic": False})
    assert facts["windows"]["test"]["benign"] == {"test file": 20}
    assert facts["windows"]["total"] == {"benign": 17 + 20, "scan": 17 + 20, "other": 28}
    assert (facts["read"]["rows"], facts["read_test"]["rows"], facts["read_test"]["blank_lines"]) == (260, 160, 1)
    assert facts["notes"][0].startswith("no window to test on of other (28 to train on, 0 to test on; ")
    data = load_dataset(str(tmp_path / "images"))
    assert data.test.counts().tolist() == [20, 20, 0]
    assert data.facts["flows"]["flow_schema"]["station"]["names"] == ["north", "south"]


def test_a_test_file_is_no_second_split_and_no_training_file(tmp_path: Path, flows: Path) -> None:
    settings = ImageSettings(flow_schema=tiny_schema(), side=5, flows_per_image=4)
    with pytest.raises(ConfigError, match=r"--test-file: got also --test 0.2; .*fix: drop --test"):
        images_of(flows, settings, test_share=0.2, test_path=tmp_path / "official.csv")
    with pytest.raises(ConfigError, match="the training file"):
        images_of(flows, settings, test_path=tmp_path / "." / "flows.csv")
    with pytest.raises(DataError, match=r"official.csv: got No such file"):
        images_of(flows, settings, test_path=tmp_path / "official.csv")
    few = write_csv(tmp_path / "few.csv", "1,0.5,64,80,CON,tcp,x,ok")
    with pytest.raises(DataError, match=r"windows of .*few.csv: got 1 flows, fewer than 4"):
        images_of(flows, settings, test_path=few)


def test_settings_that_are_none_of_ours_are_refused(tmp_path: Path) -> None:
    assert flow_facts(tmp_path) == {}
    for content in ("{", "{}", json.dumps({"settings": {"side": -1}, "source": {}})):
        (tmp_path / "flows.json").write_text(content)
        with pytest.raises(DataError, match=r"flows\.json"):
            flow_facts(tmp_path)
