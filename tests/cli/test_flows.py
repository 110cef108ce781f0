import json
import resource
import subprocess
import sys
from pathlib import Path

import datasets.config
import pytest

from cli.conftest import PLANNED, TINY, assert_refused, run
from collabdm.data import load_dataset
from collabdm.distilled.set import load
from collabdm.protocol import Plan, decode_plan
from data.flows.tiny_flows import HEADER, ROW, write_csv, write_schema


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_generated_flows_become_images_that_a_round_by_stations_is_held_on(tmp_path: Path) -> None:
    csv, images, out = tmp_path / "flows.csv", tmp_path / "images", tmp_path / "run"
    made = run("flows", "generate", "--rows", 6000, "--out", csv, "--json")
    assert made.code == 0, made.err
    assert made.json["synthetic"] is True
    shown = run("flows", "to-images", csv, "--schema", "5g-nidd", "--side", 8, "--flows-per-image", 8, "--out", images)
    assert shown.code == 0, shown.err
    assert "SYNTHETIC" in shown.out
    assert "3 leaking ones left out" in shown.out
    settings = ("--partition", "by-column", "--set", "partition.column=station")
    rest = TINY[: TINY.index("--clients")]
    outcome = run("simulate", "--dataset", images, *rest, "--engine", "eager", *settings, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    assert sorted(outcome.json["bytes"]["up"]) == ["1", "2"]
    distilled = load(out / "distilled")
    assert distilled.facts["flows"] == json.loads((images / "flows.json").read_text())["settings"]
    assert distilled.facts["synthetic_flows"] is True


def test_images_are_replaced_only_by_force_and_only_images(tmp_path: Path) -> None:
    schema = write_schema(tmp_path / "s.json")
    source = write_csv(tmp_path / "flows.csv", *[ROW] * 8)
    command = ("flows", "to-images", source, "--schema", schema, "--out", tmp_path / "out")
    first = run(*command, "--json")
    assert first.json["windows"]["total"] == {"benign": 2, "scan": 0, "other": 0}
    assert_refused(run(*command), "--force")
    assert run(*command, "--force", "--window", "time", "--json").json["settings"]["window"] == "time"
    (tmp_path / "mine").mkdir()
    assert_refused(run(*command[:-1], tmp_path / "mine", "--force"), "exists")
    write_csv(source, ROW, "nonsense")
    assert_refused(run(*command, "--force"), "line 3")
    assert (tmp_path / "out" / "flows.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (("--schema", "6g"), "6g"),
        (("--side", "2"), "--side"),
        (("--flows-per-image", "0"), "--flows-per-image"),
        (("--layout", "rows", "--side", "4"), "at most 4"),
        (("--layout", "spiral"), "--layout"),
        (("--attack-share", "2"), "--attack-share"),
        (("--test", "0.9"), "--test"),
        (("--by", "host"), "host"),
    ],
)
def test_settings_that_do_not_fit_are_refused_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], mentions: str
) -> None:
    schema = write_schema(tmp_path / "s.json")
    source = write_csv(tmp_path / "flows.csv", *[ROW] * 8, header=HEADER)
    command = ("flows", "to-images", source, "--schema", schema, "--out", tmp_path / "out")
    assert_refused(run(*command, *arguments), mentions)
    assert {path.name for path in tmp_path.iterdir()} == {"s.json", "flows.csv"}


def test_a_test_file_and_what_there_is_to_know_are_told(tmp_path: Path) -> None:
    schema = write_schema(tmp_path / "s.json")
    train = write_csv(tmp_path / "train.csv", *[ROW] * 48, *[ROW.replace("ok", "scan")] * 9)
    test = write_csv(tmp_path / "test.csv", *[ROW] * 40, "", header=HEADER)
    command = ("flows", "to-images", train, "--test-file", test, "--schema", schema, "--out", tmp_path / "out")
    shown = run(*command)
    assert shown.code == 0, shown.err
    assert shown.err.splitlines() == [
        "warning: no window to test on of scan (2 to train on, 0 to test on; 9 flows); where a class is rare,"
        " windows of one flow are the most there are: --flows-per-image 1",
        "warning: 1 of 97 flows are in no window: what is left at the end of a stream",
        "warning: no flow of other",
    ]
    assert "lines left out, test file" in shown.out
    facts = run(*command, "--force", "--flows-per-image", 1, "--json").json
    assert facts["windows"]["train"] == {"benign": {"1": 48}, "scan": {"1": 9}, "other": {"1": 0}}
    assert facts["source"] == {"file": "train.csv", "synthetic": False, "test_file": "test.csv"}
    assert_refused(run(*command, "--force", "--test", 0.3), "drop --test")


def test_a_plan_for_images_of_flows_knows_them_by_the_file_of_facts_alone(tmp_path: Path) -> None:
    schema, images = write_schema(tmp_path / "s.json"), tmp_path / "images"
    source = write_csv(tmp_path / "flows.csv", *[ROW] * 48)
    assert run("flows", "to-images", source, "--schema", schema, "--side", 8, "--out", images).code == 0
    (tmp_path / "server").mkdir()
    facts = tmp_path / "server" / "flows.json"
    facts.write_bytes(b"\xef\xbb\xbf" + (images / "flows.json").read_bytes())
    read = load_dataset(str(images)).preset
    plans = list[Plan]()
    for number, given in enumerate(([images], [facts], [images, "--classes", "benign,scan,other", "--shape", "1x8x8"])):
        out = tmp_path / f"{number}.json"
        made = run("plan", *PLANNED, "--clients", "a,b", "--dataset", *given, "--out", out)
        assert made.code == 0, made.err
        plans.append(decode_plan(out.read_bytes()))
    assert plans[0] == plans[1] == plans[2]
    # A pixel's place is its column: such images are not augmented as photographs are.
    assert plans[0].augment == read.augment == ()
    assert (plans[0].sample.shape, plans[0].classes) == (read.shape, read.classes)
    refused = run("plan", "--dataset", facts, "--classes", "a,b", "--shape", "1x9x9", "--out", tmp_path / "x.json")
    assert_refused(refused, "1x8x8, as there")


def test_generate_refuses_what_exists(tmp_path: Path) -> None:
    command = ("flows", "generate", "--rows", 50, "--out", tmp_path / "flows.csv")
    shown = run(*command)
    assert "SYNTHETIC" in shown.out
    assert "not 5G-NIDD" in shown.out
    assert_refused(run(*command), "--force")
    assert run(*command, "--force").code == 0
    assert_refused(run("flows", "generate", "--rows", 0, "--out", tmp_path / "b.csv"), "--rows")


@pytest.mark.slow
def test_the_whole_file_becomes_the_papers_windows_quickly_and_in_bounded_memory(tmp_path: Path) -> None:
    csv, out = tmp_path / "flows.csv", tmp_path / "images"
    assert run("flows", "generate", "--out", csv).code == 0
    script = (
        "from collabdm.cli import main; from collabdm.engine.memory import highest\n"
        f"try: main({['flows', 'to-images', str(csv), '--schema', '5g-nidd', '--out', str(out), '--json']!r})\n"
        "finally: open('peak', 'w').write(str(highest()))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = json.loads(done.stdout)
    assert list(facts["windows"]["total"].values()) == [5081, 1497, 776, 4864, 705]
    # Missing cells as reported of the real file.
    assert facts["read"]["missing"] == {
        "sTos": 214, "dTos": 943067, "sDSb": 214, "dDSb": 943067, "sTtl": 214, "dTtl": 943067, "sHops": 214,
        "dHops": 943067, "SrcGap": 937219, "DstGap": 937219, "SrcWin": 973470, "DstWin": 1038812, "sVid": 1101319,
        "dVid": 1213881, "SrcTCPBase": 937219, "DstTCPBase": 985843,
    }  # fmt: skip
    assert float((tmp_path / "peak").read_text()) < 1500  # MB
    # Of processor time: others may be busy on the machine.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert facts["read"]["rows"] / seconds > 100_000


def test_force_takes_nothing_that_is_not_the_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, out = write_schema(tmp_path / "s.json"), tmp_path / "out"
    command = ("flows", "to-images", write_csv(tmp_path / "flows.csv", *[ROW] * 8), "--schema", schema)
    assert run(*command, "--out", out).code == 0
    own = write_csv(out / "mine.csv", *[ROW] * 8)
    assert_refused(run("flows", "to-images", own, "--schema", schema, "--out", out, "--force"), "mine.csv")
    assert own.exists()
    own.unlink()
    monkeypatch.chdir(out)
    assert_refused(run(*command, "--out", ".", "--force"), "where you are")
    assert sorted(path.name for path in out.iterdir()) == ["flows.json", "train.parquet"]
    monkeypatch.chdir(tmp_path)
    assert run(*command, "--out", "out", "--force").code == 0
