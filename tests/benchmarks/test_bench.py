"""What `make bench` says of a report and the one before it. Nothing is timed here."""

import json
from pathlib import Path
from typing import Any

import bench
import pytest

HERE = Path(bench.__file__).parent


def report(device: str = "Intel(R) Xeon(R) Platinum 8488C", dtype: str = "bfloat16", **loops: Any) -> dict[str, Any]:
    usual = {"local_step": {"peak_share": 0.6, "speedup": 8.0}, "cell": {"speedup": 20.0}}
    hardware = {"device": device, "engine": {"kind": "compiled", "dtype": dtype, "threads": 2}}
    return {"commit": "abc", "hardware": hardware, "loops": usual | loops, "tuned": usual}


def test_what_fell_by_more_than_a_seventh_is_named() -> None:
    assert bench.compared(report(), report()) == ["none of 6 figures fell by more than 15% since abc"]
    slight = report(local_step={"peak_share": 0.6 * 0.86, "speedup": 9.0})
    assert bench.compared(report(), slight) == bench.compared(report(), report())
    assert bench.compared(report(), report(local_step={"peak_share": 0.3, "speedup": 8.0})) == [
        "fell by 50%: local_step (loops): 0.60 -> 0.30 of the peak",
        "1 of 6 figures fell by more than 15% since abc: run it again first",
    ]
    # A loop that one of the two does not have says nothing.
    assert bench.compared(report(), report(new={"speedup": 1.0})) == bench.compared(report(), report())


def test_reports_of_other_processors_are_not_compared() -> None:
    for other in (report(device="AMD EPYC 7R13 48-Core Processor"), report(dtype="float32")):
        (line,) = bench.compared(report(), other)
        assert line.startswith("not compared: the earlier report is of Intel Xeon Platinum 84xx, bfloat16 on 2")
    assert bench.compared(None, report()) == ["nothing to compare with: there was no earlier report"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Intel(R) Xeon(R) Platinum 8488C", "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", True),
        ("Intel(R) Xeon(R) Platinum 8488C", "Intel(R) Xeon(R) Platinum 8259CL", False),
        ("AMD EPYC 7R13 48-Core Processor", "AMD EPYC 7R13 Processor", True),
        ("NVIDIA H100", "NVIDIA H200", False),
    ],
)
def test_a_family_is_a_generation_of_processors(one: str, other: str, same: bool) -> None:
    assert (bench.family(one) == bench.family(other)) == same


def test_reports_in_float32_are_kept_apart_and_the_committed_ones_say_where_they_belong() -> None:
    for name, dtype in (("latest.json", "bfloat16"), ("vectors.json", "float32")):
        assert bench.place({"dtype": dtype}) == HERE / name
        kept = json.loads((HERE / name).read_text())
        assert kept["hardware"]["engine"]["dtype"] == dtype
