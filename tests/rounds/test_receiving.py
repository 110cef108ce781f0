"""The file server's reception: arriving, partial, repeated and late files, a deadline, and a kill in between."""

import json
import os
import stat
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from collabdm.errors import DataError
from collabdm.progress import Event
from collabdm.protocol import Plan
from collabdm.rounds import deadline
from collabdm.rounds.contributing import contribution_name
from collabdm.rounds.inbox import collect
from collabdm.rounds.receiving import late_files, receive, reopen, source_of
from reference import small_plan
from rounds.test_inbox import HELD, encoded


class Kill(Exception):
    """The server's end."""


class Days:
    """A clock that the server's own sleep moves; things happen at their time."""

    def __init__(self, **happens: Callable[[], object]) -> None:
        self.now, self.naps = 1000.0, list[float]()
        self._happens = {1000 + int(at.removeprefix("at")): what for at, what in happens.items()}

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.naps.append(seconds)
        self.now += seconds
        for at in sorted(self._happens):
            if at <= self.now:
                self._happens.pop(at)()


@pytest.fixture(scope="module")
def sent() -> tuple[Plan, Mapping[str, bytes]]:
    plan = small_plan()
    return plan, {name: encoded(plan, name, held) for name, held in HELD.items()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


Sent = tuple[Plan, Mapping[str, bytes]]


def _put(source: Path, name: str, content: bytes) -> Callable[[], object]:
    return lambda: (source / f"{name}.safetensors").write_bytes(content)


def _stored(plan: Plan, run: Path) -> dict[str, bytes]:
    names = {client: run / "contributions" / contribution_name(plan, client) for client in plan.clients}
    return {client: path.read_bytes() for client, path in names.items() if path.exists()}


def test_without_a_deadline_what_is_there_is_taken(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    _put(source, "any name", files["ada"])()
    _put(source, "broken", files["bob"][:-9])()
    told: list[Event] = []
    refused = receive(plan, source, tmp_path / "run", report=told.append, sleep=lambda _: pytest.fail("waited"))
    assert list(refused) == ["broken.safetensors"]
    assert [event.message for event in told if event.message] == [f"refused {refused['broken.safetensors']}"]
    assert _stored(plan, tmp_path / "run") == {"ada": files["ada"]}
    assert source_of(tmp_path / "run") == str(source)


def test_files_are_taken_as_they_arrive_until_all_clients_have_answered(
    sent: Sent, source: Path, tmp_path: Path
) -> None:
    plan, files = sent
    days = Days(at5=_put(source, "b", files["bob"]), at9=_put(source, "c", files["cid"]))
    _put(source, "a", files["ada"])()
    told: list[Event] = []
    receive(plan, source, tmp_path / "run", deadline=600, clock=days.clock, sleep=days.sleep, report=told.append)
    assert [(event.client, event.done, event.total) for event in told] == [("ada", 1, 3), ("bob", 2, 3), ("cid", 3, 3)]
    assert days.now == 1009
    assert _stored(plan, tmp_path / "run") == files


def test_the_deadline_ends_the_wait_and_what_comes_later_is_told(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    days, run = Days(at3=_put(source, "b", files["bob"])), tmp_path / "run"
    receive(plan, source, run, deadline=7.5, clock=days.clock, sleep=days.sleep)
    assert days.now == 1007.5
    _put(source, "late", files["cid"])()
    # A repeated answer, and what is no contribution, are not late.
    _put(source, "b again", files["bob"])()
    _put(source, "broken", b"?")()
    told: list[Event] = []
    assert late_files(plan, run, report=told.append) == ["late.safetensors"]
    assert [event.message for event in told] == [
        "not taken late.safetensors: it came after the reception closed; distill --add takes it"
    ]
    # A server that starts again does not take it either.
    assert receive(plan, source, run, deadline=600, clock=days.clock, sleep=days.sleep) == {}
    assert _stored(plan, run) == {"bob": files["bob"]}
    reopen(run)
    receive(plan, source, run)
    assert _stored(plan, run) == {"bob": files["bob"], "cid": files["cid"]}


def test_a_file_that_is_still_being_written_is_looked_at_again(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    half = len(files["ada"]) // 2
    days = Days(
        at1=_put(source, "ada", files["ada"][: half // 2]),
        at2=_put(source, "ada", files["ada"][:half]),
        at3=_put(source, "ada", files["ada"]),
        at4=_put(source, "bob", b"broken for good"),
    )
    told: list[Event] = []
    refused = receive(
        plan, source, tmp_path / "run", deadline=9, clock=days.clock, sleep=days.sleep, report=told.append
    )
    assert _stored(plan, tmp_path / "run") == {"ada": files["ada"]}
    # Told once: what changed again was on its way.
    assert list(refused) == ["bob.safetensors"]
    assert [event.message for event in told if event.message] == [f"refused {refused['bob.safetensors']}"]


def test_a_client_may_answer_twice_but_not_otherwise(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    _put(source, "a", files["ada"])()
    _put(source, "a again", files["ada"])()
    _put(source, "a otherwise", encoded(plan, "ada", [6, 0, 5]))()
    refused = receive(plan, source, tmp_path / "run")
    assert list(refused) == ["a otherwise.safetensors"]
    assert "a second contribution of client ada" in refused["a otherwise.safetensors"]
    assert _stored(plan, tmp_path / "run") == {"ada": files["ada"]}


def test_a_copy_of_a_file_is_told_and_counts_once(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    name, content = next(iter(files.items()))
    for copy in ("first.safetensors", "second.safetensors"):
        (source / copy).write_bytes(content)
    told: list[Event] = []
    assert receive(plan, source, tmp_path / "run", report=told.append) == {}
    said = [event.message for event in told if event.message]
    assert said == [f"second.safetensors repeats first.safetensors of {name} to the bit, and counts once with it"]
    assert told[-1].done == 1


@pytest.mark.parametrize("naps", range(6))
def test_a_server_killed_while_waiting_keeps_what_came_and_its_deadline(
    naps: int, sent: Sent, source: Path, tmp_path: Path
) -> None:
    plan, files = sent
    run, days = tmp_path / "run", Days(at1=_put(source, "a", files["ada"]), at3=_put(source, "b", files["bob"]))

    def sleep(seconds: float) -> None:
        if len(days.naps) == naps:
            raise Kill
        days.sleep(seconds)

    with pytest.raises(Kill):
        receive(plan, source, run, deadline=10, clock=days.clock, sleep=sleep)
    # What was taken stays taken, even if its source is emptied.
    for path in source.iterdir():
        path.unlink()
    receive(plan, source, run, deadline=10, clock=days.clock, sleep=days.sleep)
    assert days.now == 1010
    assert _stored(plan, run) == {"ada": files["ada"], "bob": files["bob"]}


def test_a_damaged_stored_file_is_mended_from_the_source(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    _put(source, "a", files["ada"])()
    run = tmp_path / "run"
    receive(plan, source, run)
    stored = run / "contributions" / contribution_name(plan, "ada")
    stored.write_bytes(files["ada"][:-1] + b"!")
    assert list(collect(plan, run / "contributions").refused) == [stored.name]
    said: list[Event] = []
    assert late_files(plan, run, report=said.append) == []
    assert [event.message for event in said] == [
        "a.safetensors: the stored contribution of client ada was damaged, and is whole again"
    ]
    assert collect(plan, run / "contributions").refused == {}
    stored.write_bytes(b"damaged again")
    reopen(run)
    receive(plan, source, run)
    assert collect(plan, run / "contributions").refused == {}


def test_a_source_that_goes_away_is_looked_for_until_the_deadline(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    away, said = tmp_path / "away", list[Event]()
    _put(source, "a", files["ada"])()
    days = Days(at3=lambda: source.rename(away), at6=lambda: away.rename(source), at7=_put(source, "b", files["bob"]))
    run = tmp_path / "run"
    receive(plan, source, run, deadline=20, report=said.append, clock=days.clock, sleep=days.sleep)
    assert _stored(plan, run) == {"ada": files["ada"], "bob": files["bob"]}
    told = [event.message for event in said if event.message]
    assert told == [f"{source} cannot be read (No such file or directory); it is looked for until the deadline"]
    assert days.now == 1020


def test_files_without_the_ending_are_named_where_an_answer_lacks(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    events, (first, *others) = list[Event](), sorted(files)
    _put(source, first, files[first])()
    (source / "south.bin").write_bytes(b"?")
    receive(plan, source, tmp_path, report=events.append)
    told = [event.message for event in events if event.message]
    assert told == ["not looked at, for want of the ending .safetensors: south.bin"]
    for name in others:
        _put(source, name, files[name])()
    reopen(tmp_path)
    receive(plan, source, tmp_path, report=events.append)
    assert [event.message for event in events if event.message] == told


def test_no_source(sent: Sent, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^contributions: got .*nowhere; expected a folder of files; fix: "):
        receive(sent[0], tmp_path / "nowhere", tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_the_state_is_plain_json(sent: Sent, source: Path, tmp_path: Path) -> None:
    before = time.time()
    receive(sent[0], source, tmp_path / "run", deadline=0, clock=lambda: 5.0)
    state = json.loads((tmp_path / "run" / "reception.json").read_text())
    assert before <= state.pop("closes") <= time.time()
    assert state.pop("boot") is not None
    assert state == {"source": str(source), "monotonic": 5.0, "seconds": 0, "closed": True, "refused": {}}


@pytest.mark.parametrize("step", [-86400.0, 86400.0])
def test_a_clock_that_is_set_neither_ends_nor_prolongs_a_round(
    step: float, sent: Sent, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while it waits, nor while it is down and started again."""
    (plan, files), run, real = sent, tmp_path / "run", time.time
    days = Days(
        at2=lambda: monkeypatch.setattr(time, "time", lambda: real() + step), at6=_put(source, "b", files["bob"])
    )

    def sleep(seconds: float) -> None:
        if days.now == 1004:
            raise Kill
        days.sleep(seconds)

    with pytest.raises(Kill):
        receive(plan, source, run, deadline=10, clock=days.clock, sleep=sleep)
    receive(plan, source, run, deadline=10, clock=days.clock, sleep=days.sleep)
    assert days.now == 1010
    assert _stored(plan, run) == {"bob": files["bob"]}


@pytest.mark.parametrize(("step", "waited"), [(-86400.0, 10.0), (4.0, 6.0), (86400.0, 0.0)])
def test_after_another_start_of_the_machine_the_wait_is_no_longer_than_was_asked_for(
    step: float, waited: float, sent: Sent, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plan, _), run, days, now = sent, tmp_path / "run", Days(), time.time()
    monkeypatch.setattr(time, "time", lambda: now)

    def killed(seconds: float) -> None:
        raise Kill

    with pytest.raises(Kill):
        receive(plan, source, run, deadline=10, clock=days.clock, sleep=killed)
    monkeypatch.setattr(time, "time", lambda: now + step)
    monkeypatch.setattr(deadline, "_boot", lambda: "another")
    days.now = 3.0
    receive(plan, source, run, deadline=10, clock=days.clock, sleep=days.sleep)
    assert days.now == pytest.approx(3.0 + waited, abs=1e-3)


def _renamed(content: bytes, client: str) -> bytes:
    """The same tensors, said to be another client's."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["collabdm"] = json.dumps(json.loads(header["__metadata__"]["collabdm"]) | {"client": client})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def test_one_clients_file_under_anothers_name_is_refused_with_both_names(
    sent: Sent, source: Path, tmp_path: Path
) -> None:
    plan, files = sent
    _put(source, "a", files["ada"])()
    _put(source, "bob", files["ada"])()
    _put(source, contribution_name(plan, "cid").removesuffix(".safetensors"), files["ada"])()
    _put(source, "z", _renamed(files["ada"], "bob"))()
    refused = receive(plan, source, tmp_path / "run")
    assert refused == {
        "bob.safetensors": "bob.safetensors: got a contribution of ada; expected one of bob; "
        "fix: send what was made with --client bob",
        "2-cid.safetensors": "2-cid.safetensors: got a contribution of ada; expected one of cid; "
        "fix: send what was made with --client cid",
        "z.safetensors": "z.safetensors: got what client ada has sent, to the bit; expected the own statistics of "
        "client bob; fix: ask both sites which of them made it, and the other to contribute again",
    }
    assert _stored(plan, tmp_path / "run") == {"ada": files["ada"]}


def test_what_comes_is_for_its_owner_alone(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    _put(source, "a", files["ada"])()
    receive(plan, source, tmp_path / "run")
    inbox = tmp_path / "run" / "contributions"
    assert stat.S_IMODE(inbox.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in inbox.iterdir()] == [0o600]


def test_a_pipe_among_the_files_is_passed_over(sent: Sent, source: Path, tmp_path: Path) -> None:
    plan, files = sent
    os.mkfifo(source / "pipe.safetensors")
    (source / "zero.safetensors").symlink_to("/dev/zero")
    _put(source, "a", files["ada"])()
    receive(plan, source, tmp_path / "run")
    assert _stored(plan, tmp_path / "run") == {"ada": files["ada"]}
