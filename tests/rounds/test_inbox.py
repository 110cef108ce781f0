"""Contributions stored as they arrive: what is taken, what is refused, and how damage is noticed."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from collabdm.errors import ContributionError
from collabdm.protocol import Acceptance, Plan, acceptance, encode_contribution, fingerprint
from collabdm.rounds.contributing import contribution_name
from collabdm.rounds.inbox import accept, collect, discard, read_bounded, recorded, seal
from reference import made_up, small_plan

HELD = {"ada": [6, 0, 2], "bob": [3, 5, 0], "cid": [2, 1, 4]}
Sent = tuple[Plan, Mapping[str, bytes], Acceptance]


def encoded(plan: Plan, client: str, held: list[int], encoder: str | None = None) -> bytes:
    made = dataclasses.replace(made_up(plan, client, held), fingerprint=encoder or fingerprint(plan))
    return encode_contribution(made, plan)


@pytest.fixture(scope="module")
def sent() -> Sent:
    plan = small_plan()
    return plan, {name: encoded(plan, name, held) for name, held in HELD.items()}, acceptance(plan)


def test_an_accepted_contribution_is_stored_whole_with_its_digest(sent: Sent, tmp_path: Path) -> None:
    plan, files, expected = sent
    inbox = tmp_path / "contributions"
    for name, content in files.items():
        assert accept(plan, content, inbox, name=name, expected=expected).client == name
    stored = {name: inbox / contribution_name(plan, name) for name in files}
    assert sorted(inbox.iterdir()) == sorted(stored.values())
    assert {name: path.read_bytes() for name, path in stored.items()} == files
    lines = [f"{hashlib.sha256(files[k]).hexdigest()}  contributions/{stored[k].name}\n" for k in sorted(files)]
    assert (tmp_path / "contributions.sha256").read_text() == "".join(lines)
    collected = collect(plan, inbox)
    assert (sorted(collected.contributions), collected.refused) == (sorted(files), {})


def test_an_answer_may_come_twice_but_not_change(sent: Sent, tmp_path: Path) -> None:
    plan, files, expected = sent
    inbox = tmp_path / "contributions"
    for _ in range(2):
        accept(plan, files["ada"], inbox, name="ada", expected=expected)
    other = encoded(plan, "ada", [6, 0, 3])
    with pytest.raises(ContributionError, match=r"^the second: got a second contribution of client ada; expected one"):
        accept(plan, other, inbox, name="the second", expected=expected)
    assert (inbox / contribution_name(plan, "ada")).read_bytes() == files["ada"]


def test_what_cannot_be_used_is_not_stored(sent: Sent, tmp_path: Path) -> None:
    plan, files, expected = sent
    for content in (files["ada"][:-1], b"", encoded(plan, "ada", [6, 0, 2], encoder="1" * 64)):
        with pytest.raises(ContributionError, match=r"^from ada: got "):
            accept(plan, content, tmp_path / "contributions", name="from ada", expected=expected)
    assert not list(tmp_path.iterdir())


def test_a_stored_file_that_was_damaged_is_refused_by_name_and_mended_by_its_client(sent: Sent, tmp_path: Path) -> None:
    plan, files, expected = sent
    inbox = tmp_path / "contributions"
    for name in ("ada", "bob"):
        accept(plan, files[name], inbox, name=name, expected=expected)
    damaged = inbox / contribution_name(plan, "ada")
    # A bit of a mean: still a valid file.
    content = bytearray(files["ada"])
    content[-40] ^= 1
    damaged.write_bytes(bytes(content))
    collected = collect(plan, inbox)
    assert list(collected.contributions) == ["bob"]
    assert collected.refused[damaged.name].startswith(f"{damaged.name}: got bytes damaged since they were stored; ")
    with pytest.raises(ContributionError, match="a second contribution"):
        accept(plan, bytes(content), inbox, name="ada", expected=expected)
    accept(plan, files["ada"], inbox, name="ada", expected=expected)
    assert sorted(collect(plan, inbox).contributions) == ["ada", "bob"]
    damaged.unlink()
    accept(plan, files["ada"], inbox, name="ada", expected=expected)
    assert damaged.read_bytes() == files["ada"]


def test_a_file_without_a_record_is_taken_up(sent: Sent, tmp_path: Path) -> None:
    """As a kill leaves it between the file and its record, or a transport that writes files itself."""
    plan, files, expected = sent
    inbox = tmp_path / "contributions"
    inbox.mkdir()
    (inbox / contribution_name(plan, "ada")).write_bytes(files["ada"])
    with pytest.raises(ContributionError, match="a second contribution"):
        accept(plan, encoded(plan, "ada", [6, 0, 3]), inbox, name="ada", expected=expected)
    accept(plan, files["ada"], inbox, name="ada", expected=expected)
    (inbox / contribution_name(plan, "bob")).write_bytes(files["bob"])
    seal(inbox)
    assert recorded(inbox) == {contribution_name(plan, k): hashlib.sha256(files[k]).hexdigest() for k in ("ada", "bob")}


def test_a_discarded_contribution_leaves_no_trace(sent: Sent, tmp_path: Path) -> None:
    plan, files, expected = sent
    inbox = tmp_path / "contributions"
    for name, content in files.items():
        accept(plan, content, inbox, name=name, expected=expected)
    for _ in range(2):
        discard(plan, "bob", inbox)
    assert sorted(collect(plan, inbox).contributions) == ["ada", "cid"]
    assert "bob" not in (tmp_path / "contributions.sha256").read_text()
    assert not (inbox / contribution_name(plan, "bob")).exists()


def test_a_file_too_large_for_the_plan_is_not_read(sent: Sent, tmp_path: Path) -> None:
    plan, files, expected = sent
    honest = max(map(len, files.values()))
    assert honest < expected.largest < honest + (5 << 20)
    path = tmp_path / "huge.safetensors"
    path.write_bytes(files["ada"])
    os.truncate(path, 1 << 40)  # sparse
    with pytest.raises(
        ContributionError, match=r"^huge.safetensors: got more than [\d,]+ bytes; expected a file of at most"
    ):
        read_bounded(path, expected)
    assert list(collect(plan, tmp_path).refused) == ["huge.safetensors"]


@pytest.mark.parametrize("statistics", ["mean", "moments", "none"])
def test_every_honest_contribution_is_below_the_largest(statistics: str) -> None:
    """The bound counts every class of every seed in float32."""
    plan = small_plan(statistics=statistics, ipc=40, seeds=50)
    made = made_up(plan, "ada", [9, 9, 9], images=[plan.local_per_class] * 3)
    content = encode_contribution(made, plan)
    assert len(content) < acceptance(plan).largest
