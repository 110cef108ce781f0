"""Folders of sounds: the front end against a slow reference, folders and tables, and what is told or refused."""

from pathlib import Path

import numpy as np
import pytest

from collabdm.data import Dataset, load_dataset, load_samples
from collabdm.data.series.log_mel import BANDS, RATE, at_rate, log_mel
from collabdm.data.series.sounds import holds_sounds
from collabdm.errors import DataError, DataWarning
from collabdm.randomness import Stream
from data.series.conftest import tone, write_wave


def read(folder: Path, *splits: str) -> Dataset:
    return load_dataset(str(folder), splits=splits or ("train", "test"), modality="series")


@pytest.mark.parametrize(("steps", "frames"), [(300, 1), (512, 1), (513, 2), (768, 2), (769, 3), (16_000, 62)])
def test_the_front_end_equals_a_slow_reference(steps: int, frames: int) -> None:
    wave = Stream(1, "wave").uniform(steps, -1, 1)
    found = log_mel(wave)
    assert found.shape == (40, frames)
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    for frame in {0, frames // 2, frames - 1}:
        cut = np.zeros(512)
        part = wave[frame * 256 : frame * 256 + 512]
        cut[: len(part)] = part
        spectrum = np.fft.fft(cut * np.hanning(513)[:512])
        for band in (0, 5, 20, 39):
            low, middle, high = hertz[band : band + 3]
            weights = np.array(
                [max(min((f - low) / (middle - low), (high - f) / (high - middle)), 0) for f in np.arange(257) * 31.25]
            )
            if not weights.any():
                weights[round(middle / 31.25)] = 1
            power = (weights * np.abs(spectrum[:257]) ** 2).sum() / weights.sum()
            assert found[band, frame] == pytest.approx(max(np.log10(power), found.max() - 8), abs=1e-6)


def test_a_higher_tone_is_in_a_higher_band_and_loudness_only_shifts() -> None:
    bands = [int(log_mel(tone(f, 0.2))[:, 5].argmax()) for f in (200, 800, 3000, 7000)]
    assert bands == sorted(set(bands))
    np.testing.assert_allclose(log_mel(10 * tone(800, 0.2)) - log_mel(tone(800, 0.2)), 2, atol=1e-9)
    assert np.ptp(log_mel(np.zeros(1000))) == 0


def test_a_tone_is_the_same_at_every_rate() -> None:
    reference = log_mel(tone(800, 0.5))[:, 5:25].argmax(axis=0)
    for rate in (8000, 11_025, 44_100, 48_000):
        wave = at_rate(tone(800, 0.5, rate), rate)
        assert abs(len(wave) - RATE // 2) <= 1
        assert np.array_equal(log_mel(wave)[:, 5:25].argmax(axis=0), reference)


def test_a_folder_per_class_with_and_without_parts(tmp_path: Path) -> None:
    for part in ("train", "Test"):
        for name, frequency in (("cat", 500), ("läuft gut", 2000)):
            for number in range(2):
                write_wave(
                    tmp_path / "set" / part / name / f"{number}.wav",
                    tone(frequency, 0.1 + 0.1 * number).astype(np.float32),
                )
    data = read(tmp_path / "set")
    assert data.train.classes == ("cat", "läuft gut")
    assert (len(data.train), len(data.test)) == (4, 4)
    assert data.preset.sample == {"channels": BANDS, "length": 12, "front_end": "log-mel"}
    # The shorter of each class ends after six frames, from where on it is NaN.
    assert np.isnan(data.train.values[:, 0]).sum(axis=1).tolist() == [6, 0, 6, 0]
    wrapped = read(tmp_path)
    np.testing.assert_array_equal(wrapped.train.values, data.train.values)
    whole = read(tmp_path / "set" / "train", "test")
    np.testing.assert_array_equal(whole.test.values, data.train.values)
    with pytest.raises(DataError, match="got train; expected test; fix: add a test part"):
        read(tmp_path / "set" / "train")


def test_every_kind_of_samples_is_the_same_sound(tmp_path: Path) -> None:
    wave = tone(1000, 0.2)
    kinds = {
        "u8": np.rint(wave * 127 + 128).astype(np.uint8),
        "s16": np.rint(wave * 32767).astype(np.int16),
        "s32": np.rint(wave * (2**31 - 1)).astype(np.int32),
        "f32": wave.astype(np.float32),
    }
    for name, data in kinds.items():
        write_wave(tmp_path / "a" / f"{name}.wav", data)
    values = load_samples(str(tmp_path), modality="series").values
    for row in values:
        assert abs(row[:, 3].max() - values[0, :, 3].max()) < 0.02


def test_what_is_changed_or_left_is_told(tmp_path: Path) -> None:
    write_wave(tmp_path / "a" / "1.wav", tone(500, 0.1, 8000).astype(np.float32), 8000)
    write_wave(tmp_path / "a" / "2.wav", np.stack([tone(500, 0.1)] * 2, axis=1).astype(np.float32))
    write_wave(tmp_path / "b" / "3.WAV", tone(900, 61, 8000).astype(np.float32), 8000)
    write_wave(tmp_path / "b" / "4.wav", np.zeros(0, np.int16))
    (tmp_path / "b" / "5.mp3").write_bytes(b"ID3")
    (tmp_path / "b" / ".hidden.wav").write_bytes(b"")
    with pytest.warns(DataWarning) as caught:
        data = read(tmp_path, "train")
    lines = [str(one.message) for one in caught]
    assert len(data.train) == 3
    assert data.preset.sample["length"] == 128
    assert data.preset.sample["fit"] == "resample"
    assert any(
        "of 3 sounds 2 have 8000 samples a second (brought to 16000), 1 have several channels (their mean is taken), "
        "1 are longer than 60 seconds (cut)" in line
        for line in lines
    )
    passed = {"sound of no length": 1, ".mp3 file, which is not read": 1}
    assert data.reading == {"read": {"train": 3}, "passed_over": passed}
    assert any("passed over 1 x sound of no length, 1 x .mp3 file" in line for line in lines)
    assert any("the longest series has 3749 steps; a plan for them stretches all to 128" in line for line in lines)


def test_a_table_gives_labels_parts_and_columns(tmp_path: Path) -> None:
    for number in range(4):
        write_wave(tmp_path / f"{number}.wav", tone(300 + 400 * number, 0.1).astype(np.float32))
    (tmp_path / "metadata.csv").write_text(
        "file_name,label,speaker,split\n0.wav,zero,ann,train\n1.wav,one,bob,train\n2.wav,zero,ann,test\n"
        "gone.wav,zero,ann,test\n2.wav,zero,ann,test\n"
    )
    told = "passed over 1 x sound outside the parts or without a label, 1 x row of the table without its sound"
    with pytest.warns(DataWarning, match=told):
        data = read(tmp_path)
    assert (data.train.classes, data.train.labels.tolist(), data.test.labels.tolist()) == (("one", "zero"), [1, 0], [1])
    assert data.columns["speaker"].tolist() == ["ann", "bob"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1.wav": None}, r"sounds of .*: got 1\.wav, in no folder; expected a folder of \.wav files for each class"),
        ({"a/1.mp3": b"ID3"}, r"series in .*: got 1 \.mp3 files; .*ffmpeg"),
        (
            {"a/1.wav": None, "metadata.csv": b"file_name,length\na/1.wav,3\n"},
            "metadata of .*: got length; expected a column label",
        ),
        (
            {"a/1.wav": None, "metadata.csv": b"file_name,label\nb.wav,x\n"},
            "metadata of .*: got no row for any of the sounds",
        ),
        (
            {"a/1.wav": None, "metadata.csv": b"file_name,label\na/1.wav,x\na/1.wav,y\n"},
            r"rows of .*metadata.csv: got a/1\.wav twice, with label x and y; expected one class for each file; fix: ",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, files: dict[str, bytes | None], expected: str) -> None:
    for name, content in files.items():
        if content is None:
            write_wave(tmp_path / name, tone(500, 0.1).astype(np.float32))
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=expected) as refused:
        load_samples(str(tmp_path), modality="series")
    assert "\n" not in str(refused.value)


def test_a_look_for_sounds_is_short_and_stays_below_three_folders(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert not holds_sounds(tmp_path)
    (deep / "x.WAV").touch()
    assert holds_sounds(tmp_path)
    far = tmp_path / "far" / "b" / "c" / "d" / "e"
    far.mkdir(parents=True)
    (far / "x.wav").touch()
    assert not holds_sounds(tmp_path / "far")
    many = tmp_path / "many"
    (many / "z").mkdir(parents=True)
    (many / "z" / "x.wav").touch()
    for n in range(5001):
        (many / f"{n}.png").touch()
    # Among so many files that are none, no one keeps sounds.
    assert not holds_sounds(many)


def test_sounds_of_the_other_part_are_not_read_and_all_bad_ones_are_named(tmp_path: Path) -> None:
    for name in ("low", "high"):
        write_wave(tmp_path / "test" / name / "1.wav", tone(440, 0.2))
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "1.wav").write_bytes(b"")
    found = load_dataset(str(tmp_path), splits=("test",), modality="series")
    assert (len(found.train), len(found.test)) == (0, 2)
    with pytest.raises(DataError) as raised:
        load_dataset(str(tmp_path), splits=("train",), modality="series")
    assert f"sound {tmp_path / 'train' / 'high' / '1.wav'}: got an empty file" in str(raised.value)
    assert f"1 more cannot be read: {tmp_path / 'train' / 'low' / '1.wav'}" in str(raised.value)
