import json
import shutil
from pathlib import Path

import pytest

from cli.conftest import PLANNED, Outcome, assert_refused, run, write_npz
from collabdm.distilled.set import load
from collabdm.protocol import decode_plan

Simulated = tuple[Path, Outcome]


def test_a_round_of_files_equals_the_simulation(simulated: Simulated, exchanged: Path) -> None:
    inside, _ = simulated
    assert (exchanged / "plan.json").read_bytes() == (inside / "plan.json").read_bytes()
    sent = [sorted(path.read_bytes() for path in (home / "contributions").iterdir()) for home in (inside, exchanged)]
    assert len(sent[0]) == 3
    assert sent[0] == sent[1]
    here, there = load(inside / "distilled"), load(exchanged / "run" / "distilled")
    assert here.samples.equal(there.samples)
    assert here.labels.equal(there.labels)
    assert here.facts == there.facts


def test_bytes_in_the_metrics_are_those_of_the_files(simulated: Simulated, exchanged: Path) -> None:
    sent = simulated[1].json["bytes"]
    plan_size = (exchanged / "plan.json").stat().st_size
    assert sent["down"] == dict.fromkeys("012", plan_size)
    assert sent["up"] == {k: (exchanged / "contributions" / f"from {k}.safetensors").stat().st_size for k in "012"}


def _spoiled(exchanged: Path, folder: Path, bad: dict[str, bytes | None]) -> Path:
    """A copy of the contributions with some replaced (None: truncated)."""
    target = folder / "contributions"
    shutil.copytree(exchanged / "contributions", target)
    for client, content in bad.items():
        path = target / f"from {client}.safetensors"
        path.write_bytes(path.read_bytes()[:-7] if content is None else content)
    return target


@pytest.mark.parametrize("content", [None, b"hello", b""])
def test_a_bad_contribution_is_refused_and_the_round_goes_on(
    content: bytes | None, exchanged: Path, tmp_path: Path
) -> None:
    files = _spoiled(exchanged, tmp_path, {"1": content})
    outcome = run("distill", exchanged / "plan.json", files, "--out", tmp_path / "run", "--quiet", "--json")
    assert outcome.code == 0, outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert "from 1.safetensors" in outcome.err
    assert list(outcome.json["refused"]) == ["from 1.safetensors"]
    assert outcome.json["missing"] == ["1"]
    assert len(load(tmp_path / "run" / "distilled")) == 10


def test_a_round_that_is_replaced_takes_its_log_with_it(exchanged: Path, tmp_path: Path) -> None:
    files, log = _spoiled(exchanged, tmp_path, {"1": b"hello"}), tmp_path / "run" / "events.jsonl"
    asked = ("distill", exchanged / "plan.json", "--out", tmp_path / "run", "--quiet")
    assert run(*asked[:2], files, *asked[2:]).code == 0
    assert "refused from 1.safetensors" in log.read_text()
    assert run(*asked[:2], exchanged / "contributions", *asked[2:], "--force").code == 0
    stages = [json.loads(line)["stage"] for line in log.read_text().splitlines()]
    assert set(stages) == {"receive", "distill"}


def test_a_contribution_to_another_plan_is_refused(exchanged: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert run("plan", "--dataset", "digits", *PLANNED, "--seed", 1, "--out", plan).code == 0
    outcome = run("distill", plan, exchanged / "contributions", "--out", tmp_path / "run", "--quiet")
    assert_refused(outcome, "usable contributions", code=3)
    assert sum("plan" in line and "refused" in line for line in outcome.err.splitlines()) == 3
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("bad", "least", "code"), [("12", None, 3), ("12", 1, 0), ("1", 3, 3), ("1", None, 0)])
def test_quorum(bad: str, least: int | None, code: int, exchanged: Path, tmp_path: Path) -> None:
    files = _spoiled(exchanged, tmp_path, dict.fromkeys(bad))
    wanted = () if least is None else ("--min-clients", least)
    outcome = run("distill", exchanged / "plan.json", files, "--out", tmp_path / "run", *wanted)
    assert outcome.code == code, outcome.err
    assert (tmp_path / "run").exists() == (code == 0)
    assert all(f"from {client}.safetensors" in outcome.err for client in bad)


def test_no_folder_of_contributions(exchanged: Path, tmp_path: Path) -> None:
    outcome = run("distill", exchanged / "plan.json", tmp_path / "nowhere", "--out", tmp_path / "run")
    assert_refused(outcome, "nowhere")
    assert not list(tmp_path.iterdir())


def test_own_data_is_matched_to_the_plan_by_class_names(tmp_path: Path) -> None:
    plan, own = tmp_path / "plan.json", write_npz(tmp_path / "own.npz")
    shape = ("--classes", "c, b, a, d", "--shape", "1x8x8", "--clients", "north,south")
    assert run("plan", *PLANNED, *shape, "--out", plan, "--json").json["clients"] == ["north", "south"]
    target = tmp_path / "north.safetensors"
    assert run("contribute", plan, "--client", "north", "--dataset", own, "--out", target).code == 0
    facts = run("info", target, "--json").json
    assert facts["client"] == "north"
    assert facts["samples_per_class"] == [10, 10, 10, 0]


def test_class_names_with_commas_stand_in_quotes(tmp_path: Path) -> None:
    shape = ("--shape", "1x8x8", "--clients", "north,south", "--out", tmp_path / "plan.json")
    run("plan", *PLANNED, "--classes", 'goldfish, "tench, Tinca tinca" ,a"b', *shape)
    assert decode_plan((tmp_path / "plan.json").read_bytes()).classes == ("goldfish", "tench, Tinca tinca", 'a"b')


def test_a_contribution_in_eight_bits(simulated: Simulated, tmp_path: Path) -> None:
    settings = ("--config", simulated[0] / "config.toml", "--set", "plan.encoding=int8")
    plan, target = tmp_path / "plan.json", tmp_path / "sent" / "0.safetensors"
    assert run("plan", *settings, "--out", plan).code == 0
    facts = run("contribute", plan, "--client", "0", "--shard", *settings, "--out", target, "--json").json
    assert facts["bytes"] == sum(facts["parts"].values()) == target.stat().st_size
    assert 0 <= facts["clipped"] <= 0.0002
    told = run("info", target, "--json").json
    assert (told["clipped"], told["images"], told["dtype"]) == (facts["clipped"], facts["images"], "I8")
    outcome = run("distill", plan, target.parent, "--min-clients", 1, "--out", tmp_path / "run", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["bytes"]["parts"] == {"0": facts["parts"]}


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (["--client", "west", "--dataset", "OWN"], "west"),
        (["--client", "north"], "--dataset"),
        (["--client", "north", "--dataset", "digits"], "class"),
    ],
)
def test_contribute_refuses(arguments: list[str], mentions: str, tmp_path: Path) -> None:
    plan, own = tmp_path / "plan.json", write_npz(tmp_path / "own.npz")
    run("plan", *PLANNED, "--classes", "a,b,c", "--shape", "1x8x8", "--clients", "north,south", "--out", plan)
    given = [str(own) if argument == "OWN" else argument for argument in arguments]
    assert_refused(run("contribute", plan, *given, "--out", tmp_path / "sent.safetensors"), mentions)
    assert not (tmp_path / "sent.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "mentions"),
    [
        (
            ("--set", "seed=3"),
            "got partition.clients = 0, 1, 2, 3, 4 (5); expected the plan's: partition.clients = 0, 1 (2)",
        ),
        (("--set", "partition.clients=2", "--set", "seed=4"), "--shard: got seed = 4; expected the plan's: seed = 3"),
        (
            ("--set", "partition.clients=2", "--set", "seed=3", "--set", "partition.kind=dirichlet-reserved"),
            "--shard: got ipc = 10; expected the plan's: ipc = 1",
        ),
    ],
)
def test_a_shard_of_another_partition_is_refused(settings: tuple[str, ...], mentions: str, tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.json", tmp_path / "sent.safetensors"
    assert run("plan", "--dataset", "digits", *PLANNED, "--clients", 2, "--seed", 3, "--out", plan).code == 0
    asked = ("contribute", plan, "--dataset", "digits", "--client", "0", "--shard", "--out", out)
    outcome = run(*asked, *settings)
    assert_refused(outcome, mentions)
    assert "--config RUN/config.toml" in outcome.err
    assert not out.exists()
    same = ("--set", "partition.clients=2", "--set", "seed=3", "--set", "partition.kind=iid")
    assert run(*asked, *same, "--json").json["samples"] == 649


def test_plan_by_column_takes_the_clients_from_the_data(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "data.npz", site_train=["x", "y"] * 15)
    column = ("--dataset", source, "--partition", "by-column", "--set", "partition.column=site")
    outcome = run("plan", *PLANNED, *column, "--out", tmp_path / "plan.json", "--json")
    assert outcome.json["clients"] == ["x", "y"]


def test_rows_without_a_site_are_an_error_or_a_client_of_their_own(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "data.npz", site_train=[1.0, 2.0, float("nan")] * 10)
    column = ("--dataset", source, "--partition", "by-column", "--set", "partition.column=site")
    out = ("--out", tmp_path / "plan.json")
    refused = run("plan", *PLANNED, *column, *out)
    assert_refused(refused, f"column site of {source}: got no site ('nan') in 10 of 30 rows")
    outcome = run("plan", *PLANNED, *column, "--set", "partition.missing=unknown", *out, "--json")
    assert outcome.json["clients"] == ["1.0", "2.0", "unknown"]
    source = write_npz(tmp_path / "alike.npz", site_train=["North", "north"] * 15)
    outcome = run("plan", *PLANNED, *column[2:], "--dataset", source, *out, "--force", "--json")
    assert outcome.json["clients"] == ["North", "north"]
    assert outcome.err.startswith(f"warning: column site of {source} has 'North' and 'north': each is a client")


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "cifar10", "svhn"])
def test_plan_for_known_data_needs_no_data(dataset: str, tmp_path: Path) -> None:
    assert run("plan", "--dataset", dataset, "--clients", "b,a", "--out", tmp_path / "plan.json").code == 0
    plan = decode_plan((tmp_path / "plan.json").read_bytes())
    assert plan.clients == ("a", "b")
    assert len(plan.classes) == 10
    assert plan.sample.shape == ((1, 28, 28) if "mnist" in dataset else (3, 32, 32))


@pytest.mark.parametrize("command", ["plan", "contribute"])
def test_files_are_replaced_only_on_request(
    command: str, exchanged: Path, simulated: Simulated, tmp_path: Path
) -> None:
    out, settings = tmp_path / "file", ("--config", simulated[0] / "config.toml")
    own = () if command == "plan" else (exchanged / "plan.json", "--client", "0", "--shard")
    out.write_text("precious")
    assert_refused(run(command, *own, *settings, "--out", out), "--force")
    assert out.read_text() == "precious"
    assert run(command, *own, *settings, "--out", out, "--force").code == 0
    assert out.read_bytes() != b"precious"


def test_plan_says_which_augmentation_it_took_and_that_tiles_are_off(tmp_path: Path) -> None:
    declared = ("--classes", "a,b", "--shape", "1x7x7", "--clients", "x,y")
    outcome = run("plan", *declared, "--out", tmp_path / "plan.json", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["augment"] == ["colour", "crop", "cutout", "scale"]
    assert outcome.json["augmentation"].startswith("colour, crop, cutout, scale (mild, as nothing is known of these")
    (line,) = outcome.err.splitlines()
    assert line.startswith("images of 7x7 are too small for partition and expand: collabdm runs instead")
    plan = decode_plan((tmp_path / "plan.json").read_bytes())
    assert (plan.tiles, plan.augment, plan.min_held) == (1, ("colour", "crop", "cutout", "scale"), 2)
    refused = run("plan", *declared, "--set", "plan.tiles=2", "--out", tmp_path / "other.json")
    assert_refused(refused, "partition-and-expand tiles")


def test_a_plan_that_the_servers_settings_cannot_use_is_not_written(tmp_path: Path) -> None:
    limited = ("--set", "plan.statistics=mean,gram", "--set", "server.aggregation=trimmed")
    refused = run("plan", "--dataset", "cifar10", *limited, "--out", tmp_path / "plan.json")
    assert_refused(refused, "a rule with the statistic gram")
    assert not list(tmp_path.iterdir())
