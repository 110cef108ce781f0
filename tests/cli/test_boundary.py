"""What leaves a site or a server: no path, no name that controls a terminal, and nothing that others may read."""

import contextlib
import io
import json
import os
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.conftest import TINY, Outcome, assert_refused, run, write_npz
from collabdm.cli.output import print_facts, print_table, say
from collabdm.cli.plan import read_plan
from collabdm.cli.progress import PlainLines, _write, progress
from collabdm.cli.site_cache import alone_in
from collabdm.progress import Event
from test_fuzz import a_contribution, a_distilled_set, a_plan

TELLTALE = "patient-telltale"
# A site's own records, which it needs to go on: none of them is handed on.
OWN = ("config.toml", "events.jsonl", "reception.json", "data.npz")

HOSTILE = {
    "clears the screen": "\x1b[2J",
    "sets the title": "\x1b]0;owned\x07",
    "C1 introducer": "\x9b31m",
    "overwrites the line": "fine\rerror: ",
    "backspaces": "abc\b\b\bxyz",
    "a second line": "fine\nerror: all is lost",
    "other line ends": "a\x0bb\x0cc\x85d\u2028e\u2029f",
    "turns the text round": "\u202egpj.exe",
    "isolates": "\u2066a\u2069",
    "nothing": "\0",
    "deletes": "\x7f",
    "half a character": "\ud800",
    "bytes of a file name": b"\xff\xfe".decode("utf-8", "surrogateescape"),
}


def _texts(path: Path) -> Iterator[str]:
    """Everything that a file says, also inside pictures."""
    yield path.read_bytes().decode("latin-1")
    if path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
            yield json.dumps({str(key): str(value) for key, value in image.info.items()})


def test_no_product_names_a_path(tmp_path: Path) -> None:
    home = tmp_path / TELLTALE / "site"
    home.mkdir(parents=True)
    source, place = write_npz(home / "data.npz"), tmp_path / TELLTALE / "products"
    commands = [
        ("simulate", "--dataset", source, *TINY, "--out", place / "run", "--repeats", "1"),
        ("report", place / "run"),
        ("compare", "--dataset", source, *TINY, "--methods", "random-real,fedavg", "--out", place / "compared"),
        ("report", place / "compared"),
        ("train", place / "run", "--out", place / "model.safetensors", "--test", source, "--set", "evaluate.epochs=1"),
        ("export", place / "run", "--format", "npz", "--out", place / "set.npz"),
        ("export", place / "run", "--format", "safetensors", "--out", place / "set.safetensors"),
        ("export", place / "run", "--format", "images", "--out", place / "folder"),
        ("export", place / "run", "--format", "huggingface", "--out", place / "hub"),
        ("plan", "--dataset", source, *TINY, "--out", place / "plan.json"),
        *(
            ("contribute", place / "plan.json", "--client", client, "--dataset", source, "--out", sent)
            for client in ("0", "1", "2")
            for sent in [place / "sent" / f"{client}.safetensors"]
        ),
        ("distill", place / "plan.json", place / "sent", "--dataset", source, "--out", place / "held"),
    ]
    for command in commands:
        outcome = run(*command)
        assert outcome.code == 0, outcome.err
    products = [path for path in place.rglob("*") if path.is_file() and path.name not in OWN]
    assert {".safetensors", ".json", ".md", ".png", ".html", ".npz", ".parquet"} <= {path.suffix for path in products}
    for path in products:
        for text in _texts(path):
            assert TELLTALE not in text, path
            assert str(tmp_path) not in text, path
    assert json.loads((place / "run" / "metrics.json").read_text())["dataset"] == "data.npz"
    # A held round's card says what the operator named.
    assert "data.npz" in (place / "held" / "distilled" / "README.md").read_text()


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_is_printed_controls_the_terminal(name: str) -> None:
    text = HOSTILE[name]
    event = Event(stage="collect", client=text, done=1, total=1)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        print_facts(text, {text: text, "nested": {text: {text: [text]}}, "list": [text]})
        print_table(("method",), [(text,), ("after",)])
        say(text, error=True)
        for tell in (PlainLines(_write), PlainLines(say)):
            tell(event)
            tell(Event(stage="collect", done=1, total=1, message=text))
        with progress(quiet=True) as report:
            report(Event(stage="collect", done=1, total=1, message=f"refused {text}"))
    printed = out.getvalue()
    printed.encode()
    assert printed.replace("\n", "").isprintable(), printed


@pytest.mark.parametrize("name", HOSTILE)
def test_a_strangers_files_say_nothing_to_the_terminal(name: str, tmp_path: Path) -> None:
    """Keys and values of facts, class names, a client's name, and the name of a file."""
    text = HOSTILE[name]

    def edited(content: bytes, **fields: object) -> bytes:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        metadata = json.loads(header["__metadata__"]["collabdm"]) | fields
        header["__metadata__"]["collabdm"] = json.dumps(metadata)
        written = json.dumps(header).encode()
        return struct.pack("<Q", len(written)) + written + content[8 + size :]

    hostile = {
        "set.safetensors": edited(a_distilled_set(), facts={text: {text: text}}, classes=[text, "dog"]),
        "method.safetensors": edited(a_distilled_set(), method=text),
        "sent.safetensors": edited(a_contribution(a_plan()), client=text, fingerprint=text),
        "plan.json": json.dumps({"format": "collabdm-plan", "version": 2, text: text}).encode(),
        f"{text}.safetensors".replace("\0", "x").replace("\ud800", "x"): b"no such file",
    }
    for file, content in hostile.items():
        (tmp_path / file).write_bytes(content)
        outcome = run("info", tmp_path / file)
        assert outcome.code in (0, 2)
        for said in (outcome.out, outcome.err):
            said.encode()
            assert said.replace("\n", "").isprintable(), said
        assert len(outcome.err.splitlines()) == (outcome.code == 2)


def test_what_is_sent_and_what_is_kept_are_for_their_owner_alone(exchanged: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        kept = ("--cache", tmp_path / "cache")
        given = ("--dataset", "digits", "--engine", "eager", "--device", "cpu")
        for number in range(2):
            out = ("--out", tmp_path / f"{number}.safetensors")
            assert run("contribute", exchanged / "plan.json", "--client", "0", *given, *kept, *out).code == 0
    finally:
        os.umask(before)
    places = [*tmp_path.glob("*.safetensors"), tmp_path / "cache", *(tmp_path / "cache").rglob("*")]
    assert len(places) >= 5
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in places}
    assert modes == {path: 0o700 if path.is_dir() else 0o600 for path in places}


def test_one_answer_is_made_once_at_a_time_in_a_cache(exchanged: Path, tmp_path: Path) -> None:
    plan, cache = exchanged / "plan.json", tmp_path / "cache"

    def answered(client: str) -> Outcome:
        given = ("--dataset", "digits", "--engine", "eager", "--device", "cpu", "--cache", cache)
        return run("contribute", plan, "--client", client, *given, "--out", tmp_path / f"{client}.safetensors")

    with alone_in(cache, read_plan(plan), "0"):
        assert_refused(answered("0"), "got another run at work there; expected none; fix: wait")
        assert answered("1").code == 0
    assert answered("0").code == 0
    assert not list(cache.glob("at-work-*"))


@pytest.mark.parametrize("unit", ["collabdm-superlink.service", "collabdm-supernode.service"])
def test_the_shipped_units_keep_what_they_write_to_themselves(unit: str) -> None:
    text = (Path(__file__).parents[2] / "examples" / "deploy" / unit).read_text()
    assert "\nUMask=0077\n" in text.partition("[Service]")[2].partition("\n[")[0] + "\n"


@pytest.mark.parametrize("kind", ["pipe", "device", "socketless folder"])
@pytest.mark.parametrize(
    "command",
    [
        ("info", "FILE.json"),
        ("info", "FILE.safetensors"),
        ("evaluate", "FILE.safetensors", "--dataset", "digits"),
        ("evaluate", "SET", "--dataset", "FILE.npz"),
        ("train", "FILE.safetensors", "--out", "OUT"),
        ("export", "FILE.safetensors", "--format", "npz", "--out", "OUT"),
        ("detect", "FILE.safetensors", "flows.csv"),
        ("contribute", "FILE.json", "--client", "0", "--dataset", "digits", "--out", "OUT"),
        ("distill", "FILE.json", "FOLDER", "--out", "OUT"),
        ("simulate", "--config", "FILE.toml", "--out", "OUT"),
        ("simulate", "--dataset", "FILE.npz", "--out", "OUT"),
        ("distill", "--add", "FILE.safetensors", "--out", "RUN"),
        ("flows", "to-images", "FILE.csv", "--out", "OUT"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_is_no_file_is_refused_and_not_waited_for(
    command: tuple[str, ...], kind: str, exchanged: Path, tmp_path: Path
) -> None:
    (name,) = (word for word in command if word.startswith("FILE"))
    file = tmp_path / name
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    (tmp_path / "FOLDER").mkdir()
    given = {name: file, "OUT": tmp_path / "out", "FOLDER": tmp_path / "FOLDER"}
    given |= {"RUN": exchanged / "run", "SET": exchanged / "run"}
    started = time.monotonic()
    outcome = run(*(given.get(word, word) for word in command))
    assert time.monotonic() - started < 20
    assert_refused(outcome)
    assert not (tmp_path / "out").exists()


SETS = {
    "unknown augmentation": ({"augment": ["melt"]}, "augment: got melt; expected operations of images: colour, crop"),
    "std 1e-320": ({"std": [1e-320]}, "a std must be at least 1e-6"),
    "std 0": ({"std": [0]}, "a std must be at least 1e-6"),
    "a mean that is true": ({"mean": [True]}, "mean"),
    "200,000 class names": ({"classes": [f"class {y}" for y in range(200_000)]}, "at most 10000 items"),
    "no class names": ({"classes": []}, "at least 1 item"),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("command", ["info", "evaluate", "train", "export"])
def test_a_strangers_set_is_refused_in_one_short_line(command: str, name: str, tmp_path: Path) -> None:
    (changes, mentions), content = SETS[name], a_distilled_set()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["collabdm"] = json.dumps(json.loads(header["__metadata__"]["collabdm"]) | changes)
    written = json.dumps(header).encode()
    path = tmp_path / "set.safetensors"
    path.write_bytes(struct.pack("<Q", len(written)) + written + content[8 + size :])
    others = {
        "info": (),
        "evaluate": ("--dataset", "digits"),
        "train": ("--out", tmp_path / "model"),
        "export": ("--format", "npz", "--out", tmp_path / "out"),
    }
    outcome = run(command, path, *others[command])
    assert_refused(outcome, mentions)
    assert len(outcome.err) < 1000
    assert [one.name for one in tmp_path.iterdir()] == ["set.safetensors"]


def test_arrays_of_a_stranger_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04")
    np.savez(tmp_path / "objects.npz", x_train=np.array([{}], dtype=object))
    for name in ("data.npz", "objects.npz"):
        assert_refused(run("simulate", "--dataset", tmp_path / name, *TINY, "--out", tmp_path / "out"), "readable .npz")
