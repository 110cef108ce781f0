"""What `benchmarks/on_cuda.py` says without a CUDA device, and of a report. Nothing is measured here."""

from pathlib import Path

import on_cuda as cuda
import pytest
import torch


def test_without_a_device_nothing_is_run_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["on_cuda.py", "--out", str(tmp_path / "cuda.json")])
    monkeypatch.setattr("subprocess.run", lambda *a, **k: pytest.fail("something was run"))
    assert cuda.main() == 2
    assert capsys.readouterr().err.startswith("no CUDA device: got none that torch finds")
    assert not list(tmp_path.iterdir())


def test_a_failed_test_is_told_beside_the_figures_and_in_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = {
        "engine": {"kind": "compiled", "dtype": "bfloat16", "device": "cpu"},
        "loops": {
            "local_step": {"seconds": 0.02, "speedup": 1.9, "peak_share": 0.04},
            "cell": {"seconds": 2, "speedup": 3},
        },
    }
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "_tested", lambda: {"passed": False, "last": "1 failed, 40 passed in 9.00s"})
    monkeypatch.setattr(cuda, "_measured", lambda: measured)
    monkeypatch.setattr("sys.argv", ["on_cuda.py", "--out", str(tmp_path / "cuda.json")])
    assert cuda.main() == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "tests/test_cuda.py: 1 failed, 40 passed in 9.00s"
    assert told[1].split() == ["local_step", "20.0", "ms", "1.9x", "plain", "torch", "4.0", "%", "of", "the", "peak"]
    assert told[2].split() == ["cell", "2000.0", "ms", "3.0x", "plain", "torch"]
    assert (tmp_path / "cuda.json").exists()
