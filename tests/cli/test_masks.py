"""Keys, a masked round by files, a site that drops out, and a relay, on the command line."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import Outcome, assert_refused, run, write_npz
from collabdm.protocol import Contribution, Plan, decode_contribution, decode_plan

SITES = ("ada", "bob", "cid", "dan")
ASKED = (
    *("--set", "plan.privacy.epsilon=100", "--set", "plan.privacy.samples=1000", "--set", "plan.seeds=2"),
    *("--set", 'plan.network={name="convnet",width=4,depth=1}', "--set", 'plan.features={name="patches",width=4}'),
    *("--set", "server.passes=1", "--ipc", "1", "--engine", "eager", "--device", "cpu", "--method", "collabdm"),
)
ANY = ("--allow-missing-classes", "--min-clients", "1")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with data, the sites' keys, the plan and all contributions."""
    write_npz(tmp_path / "data.npz")
    for name in SITES:
        assert run("keys", "--client", name, "--out", tmp_path / "keys" / f"{name}.key").code == 0
    planned = plan(tmp_path, tmp_path / "plan.json", "--threshold", 2)
    assert planned.code == 0, planned.err
    for name in SITES:
        sent = contribute(tmp_path, name)
        assert sent.code == 0, sent.err
    return tmp_path


def plan(at: Path, out: Path, *more: object) -> Outcome:
    shape = ("--dataset", "site", "--classes", "a,b,c", "--shape", "1x8x8")
    return run("plan", *shape, *ASKED, "--keys", at / "keys", *more, "--out", out, "--json")


def contribute(at: Path, name: str, *more: object, out: str = "") -> Outcome:
    options = ("--client", name, "--dataset", at / "data.npz", "--key", at / "keys" / f"{name}.key", *more)
    target = at / "sent" / f"{out or name}.safetensors"
    return run("contribute", at / "plan.json", *options, "--out", target, "--engine", "eager", "--json")


def open_masks(at: Path, name: str, *missing: str, out: Path | None = None) -> Outcome:
    named = [part for one in missing for part in ("--missing", one)]
    target = out or at / "sent" / f"{name}.opening"
    key = ("--client", name, "--key", at / "keys" / f"{name}.key")
    return run("open-masks", at / "plan.json", *key, *named, "--out", target, "--json")


def distill(at: Path, *more: object) -> Outcome:
    return run("distill", at / "plan.json", at / "sent", *ASKED, *ANY, "--out", at / "run", "--json", *more)


def read(at: Path, name: str) -> tuple[Plan, Contribution]:
    made = decode_plan((at / "plan.json").read_bytes())
    return made, decode_contribution((at / "sent" / f"{name}.safetensors").read_bytes(), made)


def test_a_key_is_private_and_never_lost(tmp_path: Path) -> None:
    key = tmp_path / "ada.key"
    made = run("keys", "--client", "ada", "--out", key, "--json")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = json.loads(key.with_name("ada.key.pub").read_text())
    assert public == {"format": "collabdm-public-key", "version": 1, "client": "ada", "key": made.json["key"]}
    before = key.read_bytes()
    assert json.loads(before)["private"] not in made.out + made.err
    assert_refused(run("keys", "--client", "ada", "--out", key), "--force to replace it")
    assert key.read_bytes() == before
    assert run("keys", "--client", "ada", "--out", key, "--force").code == 0
    assert key.read_bytes() != before


def test_the_plan_names_the_sites_by_their_keys(site: Path) -> None:
    made = decode_plan((site / "plan.json").read_bytes())
    assert made.clients == SITES
    assert made.masks is not None
    assert made.masks.threshold == 2
    usual = plan(site, site / "usual.json")
    assert usual.code == 0
    default = decode_plan((site / "usual.json").read_bytes()).masks
    assert default is not None
    assert default.threshold == 3
    others = plan(site, site / "other.json", "--clients", "ada,bob,cid")
    assert_refused(others, "public keys: got one of dan, who is no client")
    alone = run("plan", "--dataset", "digits", "--threshold", "2", "--out", site / "x.json")
    assert_refused(alone, "--threshold without --keys")


def test_a_private_key_is_no_public_one_and_is_not_shown(site: Path) -> None:
    private = site / "keys" / "ada.key"
    outcome = run("plan", "--dataset", "digits", *ASKED, "--keys", private, "--out", site / "x.json")
    assert_refused(
        outcome, "got the private half of a key; expected the public half of a key (.pub); fix: pass the file"
    )
    assert json.loads(private.read_text())["private"] not in outcome.err


def test_a_public_key_or_an_opening_is_no_private_one(site: Path) -> None:
    asked = (
        "contribute",
        site / "plan.json",
        "--client",
        "ada",
        "--dataset",
        "digits",
        "--out",
        site / "x.safetensors",
    )
    outcome = run(*asked, "--key", site / "keys" / "ada.key.pub")
    assert_refused(
        outcome, "got the public half of a key (.pub); expected the private half of a key; fix: pass the file"
    )
    assert open_masks(site, "ada", "cid").code == 0
    outcome = run(*asked, "--key", site / "sent" / "ada.opening")
    assert_refused(outcome, "got an opening of masks; expected the private half of a key")


def test_a_threshold_above_the_sites_is_named_without_their_keys(site: Path) -> None:
    asked = ("plan", "--dataset", "digits", *ASKED, "--keys", site / "keys", "--threshold", 9, "--out", site / "x.json")
    assert_refused(run(*asked), "plan: masks: got settings that do not go together; expected threshold must be at most")


def test_every_step_with_keys_says_what_comes_next(site: Path, tmp_path: Path) -> None:
    made = run("keys", "--client", "ada", "--out", tmp_path / "own.key")
    assert f"next, for this site: send {tmp_path / 'own.key'}.pub to the server's operator" in made.out
    out = tmp_path / "ada.opening"
    asked = ("--client", "ada", "--key", site / "keys" / "ada.key", "--missing", "bob, cid", "--out", out)
    opened = run("open-masks", site / "plan.json", *asked)
    assert "next, for the server's operator: put ada.opening into the folder of the contributions" in opened.out
    assert run("info", out, "--json").json["opened"] == ["bob", "cid"]


def test_a_masked_round_by_files(site: Path) -> None:
    outcome = distill(site)
    assert outcome.code == 0, outcome.err
    assert outcome.json["missing"] == []
    assert outcome.json["masks_opened"] == []
    assert (site / "run" / "distilled").exists()
    told = run("info", site / "run", "--json").json["promise"]
    assert told == outcome.json["promise"]
    assert told.startswith("epsilon ")
    assert run("report", site / "run").code == 0
    assert f"was made of it: {told}." in (site / "run" / "report.html").read_text()


def test_a_site_that_drops_out(site: Path) -> None:
    (site / "sent" / "cid.safetensors").rename(site / "cid.late")
    assert open_masks(site, "ada", "cid").json["opened"] == ["cid"]
    lacking = distill(site)
    assert_refused(lacking, "no opening by bob, dan;", code=3)
    assert "collabdm open-masks plan.json --client NAME --key FILE --missing cid --out NAME.opening" in lacking.err
    for name in ("bob", "dan"):
        assert open_masks(site, name, "cid").code == 0
    outcome = distill(site)
    assert outcome.code == 0, outcome.err
    assert outcome.json["missing"] == outcome.json["masks_opened"] == ["cid"]
    # Late: refused by name, and the round stands.
    (site / "cid.late").rename(site / "sent" / "cid.safetensors")
    late = distill(site, "--force")
    assert late.code == 0, late.err
    assert late.json["masks_opened"] == ["cid"]
    # Nothing of cid is taken any more, so nobody is told to send it.
    shown = run("distill", site / "plan.json", site / "sent", *ASKED, *ANY, "--out", site / "shown")
    assert "next, for whoever has test data" in shown.out
    assert "without an answer" not in shown.out
    assert "opened the masks of cid" in next(iter(late.json["refused"].values()))
    added = run("distill", "--add", site / "sent" / "cid.safetensors", "--out", site / "run", *ANY)
    assert added.code == 2
    assert "cid" in added.err


def test_a_bad_opening_is_refused_by_name(site: Path) -> None:
    (site / "sent" / "cid.safetensors").unlink()
    for name in ("ada", "bob", "dan"):
        assert open_masks(site, name, "cid").code == 0
    path = site / "sent" / "bob.opening"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps(tree | {"secrets": {"cid": "ab" * 32}}))
    outcome = distill(site)
    assert_refused(outcome, "no opening by bob;", code=3)
    assert "opening by bob: got a secret with cid that is not the one it masked with" in outcome.err
    path.write_text(json.dumps(tree | {"plan": "0" * 64}))
    assert "bob.opening: got an opening for plan 0000" in distill(site).err


def test_a_key_answers_a_plan_once_and_opens_few(site: Path) -> None:
    assert_refused(contribute(site, "ada", out="again"), "a key that has answered this plan")
    assert open_masks(site, "ada", "bob", out=site / "1.opening").code == 0
    assert open_masks(site, "ada", "cid", out=site / "2.opening").code == 0
    refused = open_masks(site, "ada", "dan", out=site / "3.opening")
    assert_refused(refused, "which leaves 1; expected at least 2 left", code=3)
    assert not (site / "3.opening").exists()


def test_a_relay(site: Path) -> None:
    files = [site / "sent" / f"{name}.safetensors" for name in ("dan", "bob")]
    made = run("combine", site / "plan.json", *files, "--out", site / "sent" / "region.safetensors", "--json")
    assert made.code == 0, made.err
    assert made.json["sites"] == ["bob", "dan"]
    twice = distill(site)
    assert twice.code == 0, twice.err
    assert "region.safetensors: got a second contribution of client bob" in twice.json["refused"]["region.safetensors"]
    sums = [read(site, name)[1].sums for name in ("bob", "dan", "region")]
    assert np.array_equal((sums[0] + sums[1]) % 2**24, sums[2])  # type: ignore[operator, arg-type]
    for file in files:
        file.unlink()
    outcome = distill(site, "--force")
    assert outcome.code == 0, outcome.err
    assert outcome.json["missing"] == []
    again = run("combine", site / "plan.json", *[site / "sent" / "region.safetensors"] * 2, "--out", site / "x")
    assert_refused(again, "two of that client")
    left = run("distill", "--remove", "bob", "--out", site / "run", *ANY)
    assert_refused(left, "in one combined contribution with dan")


def test_info_tells_what_is_not_secret(site: Path) -> None:
    assert open_masks(site, "ada", "bob").code == 0
    secrets = [json.loads((site / "keys" / "ada.key").read_text())["private"]]
    secrets += json.loads((site / "sent" / "ada.opening").read_text())["secrets"].values()
    facts = {}
    for path in ("plan.json", "keys/ada.key", "keys/ada.key.pub", "sent/ada.opening", "sent/ada.safetensors"):
        outcome = run("info", site / path, "--json")
        assert outcome.code == 0, outcome.err
        assert not [secret for secret in secrets if secret in outcome.out]
        facts[Path(path).suffix] = outcome.json
    assert facts[".json"]["masks"]["keys"]["ada"] == facts[".pub"]["key"]
    assert facts[".opening"]["opened"] == ["bob"]
    assert facts[".safetensors"]["masked"] is True
    assert facts[".safetensors"]["sites"] == 1


@pytest.mark.parametrize("command", ["keys", "open-masks", "combine"])
def test_help(command: str) -> None:
    assert run(command, "--help").code == 0


def test_a_site_says_whose_its_samples_are_where_groups_are_protected(tmp_path: Path) -> None:
    rows = "\n".join(f"{i % 7},{i % 5 / 5},{'ab'[i % 2]},patient {i % 9}" for i in range(60))
    (tmp_path / "site.csv").write_text(f"x,z,label,who\n{rows}\n")
    schema = tmp_path / "schema.json"
    assert run("schema", tmp_path / "site.csv", "--label", "label", "--ignore", "who", "--out", schema).code == 0
    promise = "plan.privacy={epsilon=5,unit='group',samples=1000}"
    planned = ("--schema", schema, "--classes", "a,b", "--clients", "ada,bob", "--set", promise, "--method", "collabdm")
    assert run("plan", *planned, "--set", "plan.seeds=2", "--out", tmp_path / "plan.json").code == 0

    def answer(*more: object, out: str = "out") -> Outcome:
        given = ("--client", "ada", "--dataset", tmp_path / "site.csv", "--label", "label", "--ignore", "who", *more)
        return run("contribute", tmp_path / "plan.json", *given, "--out", tmp_path / f"{out}.safetensors", "--json")

    assert_refused(answer(), "--unit-column: got none, and the plan protects groups")
    assert_refused(answer("--unit-column", "age"), "--unit-column: got age; expected one of ")
    first = answer("--unit-column", "who", "--insecure-noise-seed", "4")
    assert "this contribution keeps NO promise of privacy" in first.err
    told = json.loads(first.out)
    assert told["promise"] == "epsilon 5, delta 1e-05, for a group; noise: site"
    assert set(told) == {"client", "promise", "bytes", "parts", "file"}
    again = answer("--unit-column", "who", "--insecure-noise-seed", "4", out="again")
    assert again.code == 0
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "out.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["", "x" * 500, "a\nb"])
def test_a_key_needs_a_name_that_a_plan_can_have(name: str, tmp_path: Path) -> None:
    assert_refused(run("keys", "--client", name, "--out", tmp_path / "site.key"), "name of the client: got ")
    assert list(tmp_path.iterdir()) == []
