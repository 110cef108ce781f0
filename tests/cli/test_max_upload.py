"""`--max-upload`: a size becomes settings, is kept, and is told."""

from pathlib import Path

import pytest

from cli.conftest import TINY, assert_refused, run
from collabdm.cli.options import bytes_of
from collabdm.errors import ConfigError
from collabdm.protocol import decode_plan


@pytest.mark.parametrize(
    ("text", "size"),
    [("800000", 800_000), ("800kB", 800_000), ("4.5MB", 4_500_000), ("4.5 mb", 4_500_000), ("1G", 10**9), ("7b", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text, "--max-upload") == size


@pytest.mark.parametrize("text", ["", "MB", "-3MB", "4.5XB", "1e6", "nan", "9" * 30, "4.5MiB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--max-upload: got .*; expected a size such as 800kB or 4\.5MB; fix: "):
        bytes_of(text, "--max-upload")


def test_a_plan_keeps_to_it_and_says_what_it_expects(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    outcome = run("plan", "--dataset", "cifar10", "--max-upload", "2MB", "--out", path)
    assert outcome.code == 0, outcome.err
    (told,) = [line for line in outcome.err.splitlines() if line.startswith("upload: about 1.")]
    plan = decode_plan(path.read_bytes())
    assert f"{plan.seeds} seeds in int6, a Gram matrix of mirrored-patches width=" in told
    assert (plan.statistics, plan.encoding) == (("mean", "gram"), "int6")


def test_a_simulation_keeps_to_it(tmp_path: Path) -> None:
    limited = (*TINY, "--set", "plan.min_held=1", "--max-upload", "60kB")
    outcome = run("simulate", "--dataset", "digits", *limited, "--out", tmp_path / "run", "--json")
    assert outcome.code == 0, outcome.err
    assert max(outcome.json["bytes"]["up"].values()) <= 60_000
    assert any(line.startswith("plan: upload: about 0.0") for line in outcome.err.splitlines())
    assert set(next(iter(outcome.json["bytes"]["parts"].values()))) >= {"means", "gram", "images"}
    assert {"statistics", "gram", "local"} <= set(outcome.json["seconds"])


def test_what_cannot_be_met_is_refused(tmp_path: Path) -> None:
    refused = run("plan", "--dataset", "cifar10", "--max-upload", "1kB", "--out", tmp_path / "plan.json")
    assert_refused(refused, "--max-upload: got 1000 bytes")
    refused = run(
        "simulate", "--dataset", "digits", "--method", "local-dm", "--max-upload", "1MB", "--out", tmp_path / "r"
    )
    assert_refused(refused, "a method that sends statistics")
    assert not list(tmp_path.iterdir())
