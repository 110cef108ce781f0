"""One `.wav` file as one channel at the rate of all sounds; what is changed is counted, what is no sound refused."""

import re
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np

from collabdm.data.series.log_mel import RATE, at_rate
from collabdm.errors import DataError, explain

__all__ = ["NO_LENGTH", "read_wave"]

NO_LENGTH = "sound of no length"
"""What a file without samples is counted as."""

# A longer recording is cut.
_MOST_SECONDS = 60

# Beyond them a header is damaged, and bringing the sound to our rate could take hours.
_RATES = (100, 1_000_000)

# What programs declare that cannot know how much they will write.
_OPEN_ENDED = 0x7FFF0000


def read_wave(path: Path, told: Counter[str]) -> np.ndarray:
    """A recording as floats [steps] of about [-1, 1] at `RATE`; what was changed is counted in `told`.

    Raises `DataError` for a file that is no sound, is empty or damaged, or holds NaN or infinity.
    """
    content = path.read_bytes()
    if not content:
        raise _refused(path, "an empty file")
    if content[:4] not in (b"RIFF", b"RIFX", b"RF64") or content[8:12] != b"WAVE":
        raise _refused(path, f"a file of another kind, whatever its name says (it begins with {content[:4]!r})")
    rate, data = _decoded(path, content)
    if not len(data):
        told[NO_LENGTH] += 1
        return np.zeros(0)
    if not _RATES[0] <= rate <= _RATES[1]:
        raise _refused(path, f"a header that says {rate} samples a second")
    if _is_short(content):
        told["end before their headers say (what is there is read)"] += 1
    if len(data) > _MOST_SECONDS * rate:
        told[f"are longer than {_MOST_SECONDS} seconds (cut)"] += 1
        data = data[: _MOST_SECONDS * rate]
    wave = _floats(data)
    if wave.ndim == 2:
        told["have several channels (their mean is taken)"] += wave.shape[1] > 1
        wave = wave.mean(axis=1)
    if rate != RATE:
        told[f"have {rate} samples a second (brought to {RATE})"] += 1
    if not np.isfinite(wave).all():
        fix = "repair it, or take it out of the data"
        raise DataError(explain(f"sound {path}", got="NaN or infinity", expected="finite samples", fix=fix))
    return at_rate(wave, rate)


def _decoded(path: Path, content: bytes) -> tuple[int, np.ndarray]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            rate, data = wavfile.read(BytesIO(content))
    except Exception as error:
        kind = re.match(r"Unknown wave file format: (\w+)|Unsupported bit depth: .*", str(error))
        raise _refused(path, f"samples of another kind ({kind[1] or kind[0]})" if kind else "a damaged file") from None
    return rate, data


def _refused(path: Path, got: str) -> DataError:
    expected, fix = "a .wav file of plain samples (PCM or floats)", "convert it, or take it out of the data"
    return DataError(explain(f"sound {path}", got=got, expected=expected, fix=fix))


def _is_short(content: bytes) -> bool:
    """Whether the file ends within its samples, by what the head of these says; a stream's says nothing."""
    order, place = "big" if content[:4] == b"RIFX" else "little", 12
    long: int | None = None
    while place + 8 <= len(content):
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], order)
        if name == b"ds64":
            long = int.from_bytes(content[place + 16 : place + 24], order)
        if name == b"data":
            size = long if long is not None and size == 0xFFFFFFFF else size
            return size < _OPEN_ENDED and place + 8 + size > len(content)
        # Chunks begin at even places.
        place += 8 + size + size % 2
    return False


def _floats(data: np.ndarray) -> np.ndarray:
    if data.dtype == np.uint8:
        return (data.astype(np.float64) - 128) / 128
    return data.astype(np.float64) / (-float(np.iinfo(data.dtype).min) if data.dtype.kind == "i" else 1.0)
