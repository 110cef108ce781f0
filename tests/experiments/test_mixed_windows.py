"""The experiment on windows of both kinds, tiny."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from data.flows.tiny_flows import write_csv, write_schema
from tiny_runs import TINY_NETWORK

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def run(name: str, *arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXPERIMENTS / f"{name}.py"), run_name="__main__")


def test_networks_of_both_kinds_of_windows_are_tested_on_the_same_flows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["ok", "scan", "flood", "ok"]
    rows = [f"{n},{n % 7},{n % 256},{n},CON,tcp,x,{kinds[n // 3 % 4]}" for n in range(400)]
    schema = write_schema(tmp_path / "s.json", side=8)
    settings = [f"plan.network={{name='convnet',width=4,depth={TINY_NETWORK.depth}}}", "evaluate.count=1"]
    more = [part for one in [*settings, "evaluate.epochs=1", "engine=eager"] for part in ("--set", one)]
    source = write_csv(tmp_path / "flows.csv", *rows)
    run("mixed_windows", source, "--schema", schema, "--out", tmp_path / "out", *more)
    cells = json.loads((tmp_path / "out" / "mixed.json").read_text())
    assert [(c["trained"], c["tested"], c["leaking"]) for c in cells] == [
        (trained, tested, leaking)
        for leaking in (False, True)
        for trained in ("pure", "time")
        for tested in ("pure", "time")
    ]
    by_test = {c["tested"]: c["test_windows"] for c in cells}
    # 50, 25 and 24 pure windows: of 10 blocks of 5, 2.5 and 2.4 windows two each are for testing; so are those flows.
    assert by_test["pure"] == [10, 5, 4]
    assert sum(by_test["time"]) == 19
    assert capsys.readouterr().out.count("| kept |") == 4
