"""The plan: exact bytes, refusals in one line, and who takes part when."""

import json
import math
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collabdm.errors import CollabDMError, PlanError
from collabdm.protocol import Plan, decode_plan, encode_plan, plan_digest
from collabdm.randomness import Stream

FIELDS: dict[str, Any] = {
    "seed": 7,
    "clients": ["anna", "bert", "carl"],
    "classes": ["0", "1"],
    "sample": {"channels": 1, "height": 8, "width": 8},
    "normalisation": {"mean": [0.5], "std": [0.25]},
    "network": {"name": "convnet", "width": 16, "depth": 2},
    "ipc": 4,
    "seeds": 5,
    "batch": 16,
    "pae": 2,
    "augment": ["colour", "crop"],
}


def a_plan(**changes: Any) -> Plan:
    return Plan.model_validate(FIELDS | changes)


def refusal(content: bytes) -> str:
    with pytest.raises(PlanError) as refused:
        decode_plan(content, name="plan.json")
    message = str(refused.value)
    assert "plan.json" in message
    assert "\n" not in message
    assert len(message) < 1000
    assert re.search("got .*; expected .*; fix: ", message)
    return message


def changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(encode_plan(a_plan())) | changes).encode()


plans = st.builds(
    a_plan,
    seed=st.integers(0, 2**53 - 1),
    clients=st.sets(st.text("abcäß .-_", min_size=1, max_size=5).filter(str.strip), min_size=1, max_size=6).map(sorted),
    classes=st.lists(
        st.text("aZ09 ./-é漢", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=4, unique=True
    ),
    normalisation=st.fixed_dictionaries(
        {"mean": st.floats(-1, 1).map(lambda x: [x]), "std": st.floats(0.01, 2).map(lambda x: [x])}
    ),
    participation=st.floats(1e-6, 1),
    seeds=st.integers(0, 12),
    encoding=st.sampled_from(["fp32", "fp16", "int8"]),
    statistics=st.sampled_from(["mean", "moments", "none"]),
    local=st.fixed_dictionaries({"lr": st.floats(1e-3, 100), "reuse": st.booleans()}),
)


@given(plans)
def test_round_trip_is_exact_to_the_byte(plan: Plan) -> None:
    content = encode_plan(plan)
    assert decode_plan(content) == plan
    assert encode_plan(decode_plan(content)) == content
    assert plan_digest(decode_plan(content)) == plan_digest(plan)


def test_the_order_and_spacing_of_the_json_do_not_matter_for_the_digest() -> None:
    fields = json.loads(encode_plan(a_plan()))
    shuffled = json.dumps(dict(reversed(fields.items())), indent=4).encode()
    assert plan_digest(decode_plan(shuffled)) == plan_digest(a_plan())


def test_the_old_name_of_fp32_is_read_and_written_anew() -> None:
    plan = decode_plan(changed(encoding="none"))
    assert plan.encoding == "fp32"
    assert encode_plan(plan) == encode_plan(a_plan(encoding="fp32"))


def test_any_change_changes_the_digest() -> None:
    others = [a_plan(seed=8), a_plan(batch=17), a_plan(encoding="int8"), a_plan(local={"reuse": False}), a_plan()]
    assert len({plan_digest(plan) for plan in others}) == 5


def test_golden_bytes_and_digest() -> None:
    assert encode_plan(a_plan()) == (
        b'{"augment":["colour","crop"],"batch":16,"classes":["0","1"],"clients":["anna","bert","carl"],'
        b'"encoding":"fp16","format":"collabdm-plan","ipc":4,"local":{"batch":256,"init":"real",'
        b'"iterations":1000,"lr":1.0,"method":"dm","momentum":0.5,"reuse":true},"network":{"depth":2,'
        b'"name":"convnet","width":16},"normalisation":{"mean":[0.5],"std":[0.25]},"pae":2,'
        b'"participation":1.0,"sample":{"channels":1,"height":8,"width":8},"seed":7,"seeds":5,'
        b'"statistics":"mean","version":1}\n'
    )
    assert plan_digest(a_plan()) == "1dc574c085313df54ec9c588d58285a087189cb22b6f811459ca9535425626a3"
    assert a_plan().encoder_seed(0) == 7121851947509772


def test_a_plan_stays_small() -> None:
    assert len(encode_plan(a_plan(clients=[f"client-{k:03}" for k in range(100)], seeds=1000))) < 3000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"\x89PNG\r\n",
        b"[" * 100_000,
        b"9" * 5000,
        b"[]",
        b"null",
        b"{}",
        b'{"format": "collabdm-contribution"}',
        encode_plan(a_plan())[:-20],
    ],
)
def test_what_is_no_plan_is_refused(content: bytes) -> None:
    refusal(content)


@pytest.mark.parametrize("version", [0, 2, "1", None, [[1]], "x\n" * 500, 10**30])
def test_another_version_is_refused_by_name(version: object) -> None:
    assert "expected version 1" in refusal(changed(version=version))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("surprise", 1),
        ("line\nbreak", 1),
        ("seed", -1),
        ("seed", 2**53),
        ("seed", 10**400),
        ("seed", 1.5),
        ("seed", None),
        ("clients", []),
        ("clients", ["b", "a"]),
        ("clients", ["a", "a"]),
        ("clients", [""]),
        ("clients", ["a\x1bb"]),
        ("clients", ["x" * 201]),
        ("clients", [" ", "a"]),
        ("clients", ["\ud800"]),
        ("classes", []),
        ("classes", ["a", "a"]),
        ("classes", ["a", " "]),
        ("classes", ["a", "\u3000"]),
        ("sample", {"channels": 2, "height": 8, "width": 8}),
        ("sample", {"channels": 1, "height": 8, "width": 8, "depth": 1}),
        ("sample", {"channels": 1, "height": 10**9, "width": 8}),
        ("sample", {"channels": 3, "height": 8, "width": 8}),
        ("normalisation", {"mean": [0.5], "std": [0.0]}),
        ("normalisation", {"mean": [math.nan], "std": [1.0]}),
        ("participation", 0),
        ("participation", 1.01),
        ("participation", math.nan),
        ("participation", math.inf),
        ("participation", 10**400),
        ("network", {"name": "transformer"}),
        ("network", {"name": "convnet", "width": 10**9}),
        ("ipc", 0),
        ("seeds", -1),
        ("batch", 0),
        ("pae", 0),
        ("pae", 3),
        ("augment", ["zoom"]),
        ("statistics", "median"),
        ("encoding", "zip"),
        ("local", {"lr": math.nan}),
        ("local", {"lr": 0}),
        ("local", {"unknown": 1}),
        ("local", [[[]]]),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(key: str, value: object) -> None:
    refusal(changed(**{key: value}))


def test_the_message_names_the_field() -> None:
    assert "local.lr" in refusal(changed(local={"lr": -1}))
    assert "clients.1" in refusal(changed(clients=["a", ""]))
    assert "partition-and-expand" in refusal(changed(pae=3))


def test_a_required_field_may_not_be_missing() -> None:
    fields = json.loads(encode_plan(a_plan()))
    del fields["ipc"]
    assert "ipc" in refusal(json.dumps(fields).encode())


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_plan_is_refused_or_valid(position: int, byte: int) -> None:
    content = bytearray(encode_plan(a_plan()))
    content[position % len(content)] = byte
    try:
        plan = decode_plan(bytes(content), name="plan.json")
    except PlanError:
        refusal(bytes(content))
    else:
        assert decode_plan(encode_plan(plan)) == plan


def test_python_callers_get_errors_too() -> None:
    with pytest.raises(ValidationError):
        a_plan(surprise=1)
    with pytest.raises(CollabDMError):
        a_plan(pae=9)


@given(
    clients=st.integers(1, 12),
    seeds=st.integers(0, 8),
    participation=st.floats(0.01, 1),
    seed=st.integers(0, 2**53 - 1),
)
def test_participants_and_assignments_agree(clients: int, seeds: int, participation: float, seed: int) -> None:
    names = sorted(f"c{k}" for k in range(clients))
    plan = a_plan(clients=names, seeds=seeds, participation=participation, seed=seed)
    expected = {name: [] for name in names}
    for t in range(seeds):
        present = plan.participants(t)
        assert list(present) == sorted(set(present))
        assert len(present) == plan.participants_per_seed
        for name in present:
            expected[name].append(t)
    assert {name: list(plan.assigned(name)) for name in names} == expected


@pytest.mark.parametrize(
    ("participation", "clients", "expected"),
    [
        (1.0, 5, 5),
        (0.29, 100, 29),
        (0.57, 100, 57),
        (0.5, 5, 2),
        (0.01, 5, 1),
        (0.1, 9, 1),
        (0.999, 3, 2),
        (0.7, 10, 7),
    ],
)
def test_participants_per_seed(participation: float, clients: int, expected: int) -> None:
    plan = a_plan(clients=[f"c{k:03}" for k in range(clients)], participation=participation)
    assert plan.participants_per_seed == expected


def test_every_client_takes_part_equally_often() -> None:
    plan = a_plan(clients=[f"c{k}" for k in range(5)], participation=0.4, seeds=1000)
    counts = Counter(name for t in range(1000) for name in plan.participants(t))
    assert all(abs(count - 400) < 80 for count in counts.values())  # binomial, standard deviation 15


def test_local_images_per_class() -> None:
    assert [a_plan(ipc=ipc).local_per_class for ipc in (1, 2, 3, 10)] == [1, 1, 2, 4]


def test_seeds_of_encoders_differ_and_fit_a_double() -> None:
    plan = a_plan(seeds=200)
    drawn = [plan.encoder_seed(t) for t in range(200)]
    assert len(set(drawn)) == 200
    assert all(0 <= seed < 2**53 for seed in drawn)
    assert drawn[3] == int(Stream(7, "alpha", 3).raw(1)[0]) >> 11


def test_augmentation_belongs_to_a_seed_and_a_class() -> None:
    plan = a_plan(augment=["colour", "crop", "cutout", "flip", "scale", "rotate"])
    first, again = plan.augmentation(2, 1), plan.augmentation(2, 1)
    assert first is not None
    assert again is not None
    assert first.operation == again.operation
    assert first.uniforms.tolist() == again.uniforms.tolist()
    assert first.uniforms.shape == (1, 3)
    drawn = [plan.augmentation(t, y) for t in range(5) for y in range(2)]
    assert len({one.uniforms[0, 0] for one in drawn if one is not None}) == 10
    assert a_plan(augment=[]).augmentation(0, 0) is None
