"""Single `.wav` files: damaged ones, those of other kinds, and those that break off."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from collabdm.data.series.wave_file import read_wave
from collabdm.errors import DataError
from data.series.conftest import write_wave

SAMPLES = np.array([0, 8192, -16384, 32767] * 100, np.int16)


def wave(rate: int = 16_000, kind: int = 1, channels: int = 1, declared: int | None = None) -> bytes:
    """A file of `SAMPLES` with the head that is asked for, byte by byte."""
    data = SAMPLES.tobytes()
    numbers = ((16, 4), (kind, 2), (channels, 2), (rate, 4), (rate * 2 % 2**32, 4), (2, 2), (8 if kind == 7 else 16, 2))
    head = b"WAVEfmt " + b"".join(number.to_bytes(size, "little") for number, size in numbers)
    size = len(data) if declared is None else declared
    return b"RIFF" + (2**31).to_bytes(4, "little") + head + b"data" + size.to_bytes(4, "little") + data


def read(tmp_path: Path, content: bytes) -> tuple[np.ndarray, dict[str, int]]:
    (tmp_path / "1.wav").write_bytes(content)
    told = Counter[str]()
    return read_wave(tmp_path / "1.wav", told), {what: number for what, number in told.items() if number}


def test_what_a_file_holds_is_read_where_it_breaks_off_and_told(tmp_path: Path) -> None:
    whole, nothing = read(tmp_path, wave())
    assert np.array_equal(whole, SAMPLES / 32768)
    assert nothing == {}
    cut, told = read(tmp_path, wave()[:-200])
    assert np.array_equal(cut, whole[:-100])
    assert told == {"end before their headers say (what is there is read)": 1}


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_stream_does_not_know_its_length_and_is_whole(tmp_path: Path, declared: int) -> None:
    found, told = read(tmp_path, wave(declared=declared))
    assert np.array_equal(found, SAMPLES / 32768)
    assert told == {}


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"ID3\x04 and more", r"a file of another kind, whatever its name says \(it begins with b'ID3"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "a file of another kind"),
        (b"RIFF\x00\x00\x00\x00WAVEjunk", "a damaged file"),
        (wave()[:30], "a damaged file"),
        (wave(rate=0), "a header that says 0 samples a second"),
        (wave(rate=2_000_000), "a header that says 2000000 samples a second"),
        (wave(kind=7), r"samples of another kind \(MULAW\)"),
        (wave(channels=0), "a damaged file"),
    ],
)
def test_what_is_no_sound_is_refused_in_plain_words(tmp_path: Path, content: bytes, got: str) -> None:
    with pytest.raises(
        DataError, match=rf"^sound .*1\.wav: got {got}.*; expected a \.wav file of plain samples"
    ) as told:
        read(tmp_path, content)
    assert "\n" not in str(told.value)


def test_a_sound_that_is_not_finite_is_named(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "1.wav", np.array([0, np.nan, 0.5], np.float32))
    with pytest.raises(DataError, match=r"sound .*1\.wav: got NaN or infinity"):
        read_wave(path, Counter())
