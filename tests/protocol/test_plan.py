"""The plan: exact bytes, refusals in one line, and who takes part when."""

import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collabdm.errors import CollabDMError, PlanError, RenamedWarning, shows
from collabdm.images.augment import OPERATIONS
from collabdm.images.modality import Images
from collabdm.matching.statistic import STATISTICS
from collabdm.modalities import MODALITIES
from collabdm.modality import Modality
from collabdm.networks import NETWORKS
from collabdm.protocol import ENCODINGS, LOCAL_METHODS, Plan, decode_plan, encode_plan, plan_digest
from collabdm.randomness import Stream
from private_plan import masked_plan, private_plan

GREY: dict[str, Any] = {"mean": [0.5], "std": [0.25]}
SAMPLE: dict[str, Any] = {"kind": "images", "channels": 1, "height": 8, "width": 8, "normalisation": GREY}
FIELDS: dict[str, Any] = {
    "seed": 7,
    "clients": ["anna", "bert", "carl"],
    "classes": ["0", "1"],
    "sample": SAMPLE,
    "network": {"name": "convnet", "width": 16, "depth": 2},
    "ipc": 4,
    "seeds": 5,
    "batch": 16,
    "tiles": 2,
    "augment": ["colour", "crop"],
}


class Blocks(Modality, frozen=True):
    """A modality that checks nothing."""

    kind: Literal["blocks"] = "blocks"
    sides: tuple[Any, ...]

    network: ClassVar[str] = "convnet"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sides

    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> torch.Tensor:
        return torch.from_numpy(values).to(device, dtype)


GRAM: dict[str, Any] = {
    "statistics": ["mean", "gram"],
    "features": {"name": "patches", "width": 8},
    "gram_bits": 8,
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


def changed_first(**changes: Any) -> bytes:
    """The same plan as version 1 wrote it, with changes under the names of that version."""
    return json.dumps(json.loads(encode_plan(a_plan(version=1))) | changes).encode()


def read_first(content: bytes) -> Plan:
    """A plan of version 1, and that it is told in one line."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        plan = decode_plan(content, name="plan.json")
    (said,) = told
    assert said.category is RenamedWarning
    assert str(said.message).startswith("plan.json: pae is called tiles now")
    assert str(said.message).isprintable()
    return plan


plans = st.builds(
    a_plan,
    seed=st.integers(0, 2**53 - 1),
    clients=st.sets(st.text("abcäß .-_", min_size=1, max_size=5).filter(str.strip), min_size=1, max_size=6).map(sorted),
    classes=st.lists(
        st.text("aZ09 ./-é漢", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=4, unique=True
    ),
    sample=st.builds(
        dict,
        st.just(SAMPLE),
        width=st.integers(8, 1024),
        normalisation=st.fixed_dictionaries(
            {"mean": st.floats(-1, 1).map(lambda x: [x]), "std": st.floats(0.01, 2).map(lambda x: [x])}
        ),
    ),
    tiles=st.sampled_from([1, 2]),
    most_held=st.none() | st.integers(1, 2**60),
    min_held=st.integers(1, 2**60),
    participation=st.floats(1e-6, 1),
    seeds=st.integers(0, 12),
    encoding=st.sampled_from(["fp32", "fp16", "int8"]),
    statistics=st.sampled_from(["mean", "moments", "none"]),
    local=st.fixed_dictionaries({"lr": st.floats(1e-3, 100), "reuse": st.booleans()})
    | st.fixed_dictionaries({"method": st.just("kip"), "kip": st.fixed_dictionaries({"lr": st.floats(1e-3, 100)})})
    | st.sampled_from(["gmm", "gradient", "bptt", "feddm", "real"]).map(lambda method: {"method": method}),
)


@given(plans)
def test_round_trip_is_exact_to_the_byte(plan: Plan) -> None:
    content = encode_plan(plan)
    assert decode_plan(content) == plan
    assert encode_plan(decode_plan(content)) == content
    assert plan_digest(decode_plan(content)) == plan_digest(plan)


@given(plans, st.integers(4, 16), st.sampled_from([4, 8, 1024]))
def test_round_trip_with_the_gram_matrix(plan: Plan, bits: int, width: int) -> None:
    names = [plan.statistics, "gram"]
    asked = {"statistics": names, "features": {"name": "patches", "width": width}, "gram_bits": bits}
    plan = Plan.model_validate(plan.model_dump() | asked)
    assert decode_plan(encode_plan(plan)) == plan
    assert encode_plan(decode_plan(encode_plan(plan))) == encode_plan(plan)


@given(plans)
def test_version_1_is_read_and_written_again_to_the_same_bytes(plan: Plan) -> None:
    plan = plan.model_copy(update={"min_held": 1})
    first = plan.model_copy(update={"version": 1})
    content = encode_plan(first)
    fields = json.loads(content)
    assert fields["pae"] == plan.tiles
    assert fields["normalisation"] == plan.sample.model_dump(mode="json")["normalisation"]
    assert set(fields["sample"]) == {"channels", "height", "width"}
    assert not {"tiles", "kind"} & set(fields)
    read = read_first(content)
    assert read == first
    assert encode_plan(read) == content
    assert plan_digest(read) != plan_digest(plan)
    # But for its version, it asks the very same.
    assert read.model_copy(update={"version": 2}) == plan


def test_version_2_is_read_without_a_word() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        decode_plan(encode_plan(a_plan()))
    assert not told


def test_the_sample_is_what_its_kind_says() -> None:
    plan = decode_plan(encode_plan(a_plan()))
    assert isinstance(plan.sample, Images)
    assert plan == a_plan(sample=Images.model_validate(SAMPLE))


def test_another_modality_travels_as_images_do(rows: dict[str, Any]) -> None:
    plan = a_plan(**rows, tiles=1, augment=[])
    content = encode_plan(plan)
    assert json.loads(content)["sample"] == rows["sample"]
    assert decode_plan(content) == plan
    assert plan.sample.shape == (5,)
    assert "rows" in refusal(changed(**rows, tiles=2, augment=[]))
    assert "augmentation" in refusal(changed(**rows, tiles=1))
    assert "sample.length" in refusal(changed(sample=rows["sample"] | {"length": 0}))


def test_version_1_is_for_images(rows: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="a plan of version 1 is for images"):
        a_plan(**rows, version=1, tiles=1, augment=[])
    for sample in (rows["sample"], {"kind": "rows", **json.loads(encode_plan(a_plan(version=1)))["sample"]}):
        refusal(changed_first(sample=sample, network=rows["network"], pae=1, augment=[]))


def test_the_order_and_spacing_of_the_json_do_not_matter_for_the_digest() -> None:
    fields = json.loads(encode_plan(a_plan()))
    shuffled = json.dumps(dict(reversed(fields.items())), indent=4).encode()
    assert plan_digest(decode_plan(shuffled)) == plan_digest(a_plan())


def test_a_plan_that_an_editor_saved_with_a_byte_order_mark_is_the_same_plan() -> None:
    assert decode_plan(b"\xef\xbb\xbf" + encode_plan(a_plan()).replace(b"\n", b"\r\n")) == a_plan()


def test_the_old_name_of_fp32_is_read_and_written_anew() -> None:
    plan = decode_plan(changed(encoding="none"))
    assert plan.encoding == "fp32"
    assert encode_plan(plan) == encode_plan(a_plan(encoding="fp32"))


def test_a_table_of_another_local_method_may_be_empty() -> None:
    assert decode_plan(changed(local={"kip": None, "bptt": None})) == a_plan()


def test_any_change_changes_the_digest() -> None:
    others = [a_plan(seed=8), a_plan(batch=17), a_plan(encoding="int8"), a_plan(local={"reuse": False}), a_plan()]
    assert len({plan_digest(plan) for plan in others}) == 5


def test_golden_bytes_and_digest() -> None:
    assert encode_plan(a_plan()) == (
        b'{"augment":["colour","crop"],"batch":16,"classes":["0","1"],"clients":["anna","bert","carl"],'
        b'"encoding":"fp16","format":"collabdm-plan","ipc":4,"local":{"batch":256,"init":"real",'
        b'"iterations":1000,"lr":1.0,"method":"dm","momentum":0.5,"reuse":true},"network":{"depth":2,'
        b'"name":"convnet","width":16},"participation":1.0,"sample":{"channels":1,"height":8,"kind":"images",'
        b'"normalisation":{"mean":[0.5],"std":[0.25]},"width":8},"seed":7,"seeds":5,'
        b'"statistics":"mean","tiles":2,"version":2}\n'
    )
    assert plan_digest(a_plan()) == "48c1fab48e9df4e2e3c49f70286ede0c89c20c558197cdcc964b0a08c81ee08a"
    assert a_plan().encoder_seed(0) == 7121851947509772


def test_golden_bytes_and_digest_with_the_gram_matrix() -> None:
    plan = a_plan(**GRAM)
    assert encode_plan(plan) == (
        b'{"augment":["colour","crop"],"batch":16,"classes":["0","1"],"clients":["anna","bert","carl"],'
        b'"encoding":"fp16","features":{"name":"patches","width":8},"format":"collabdm-plan","gram_bits":8,"ipc":4,'
        b'"local":{"batch":256,"init":"real","iterations":1000,"lr":1.0,"method":"dm","momentum":0.5,"reuse":true},'
        b'"network":{"depth":2,"name":"convnet","width":16},"participation":1.0,"sample":{"channels":1,"height":8,'
        b'"kind":"images","normalisation":{"mean":[0.5],"std":[0.25]},"width":8},"seed":7,"seeds":5,'
        b'"statistics":["mean","gram"],"tiles":2,"version":2}\n'
    )
    assert decode_plan(encode_plan(plan)) == plan
    assert plan.statistic is STATISTICS["mean"]
    # Whatever the order in which they were named.
    assert encode_plan(a_plan(**GRAM | {"statistics": ("gram", "mean")})) == encode_plan(plan)
    alone = a_plan(**GRAM | {"statistics": "gram"})
    assert b'"statistics":"gram"' in encode_plan(alone)
    assert alone.statistic is STATISTICS["none"]
    assert len({plan_digest(one) for one in (plan, alone, a_plan(), a_plan(**GRAM | {"gram_bits": 9}))}) == 4


def test_the_feature_map_belongs_to_the_seed_alone() -> None:
    plan = a_plan(**GRAM)
    others = [a_plan(**GRAM | {"ipc": 9, "batch": 3, "seeds": 0}), a_plan(**GRAM | {"seed": 8})]
    same, other = (np.array_equal(plan.feature_stream.raw(8), one.feature_stream.raw(8)) for one in others)
    assert (same, other) == (True, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"features": {"name": "patches"}},
        {"gram_bits": 8},
        {"features": {"name": "patches"}, "gram_bits": 8},
        {"statistics": "gram"},
        {"statistics": ["mean", "gram"], "features": {"name": "patches"}},
        {"statistics": "mean,gram", "gram_bits": 8},
        {"statistics": ["mean"], "features": {"name": "patches"}, "gram_bits": 8},
    ],
)
def test_features_and_bits_go_with_gram_and_it_with_them(changes: dict[str, Any]) -> None:
    assert "features and gram_bits go with the statistic gram" in refusal(changed(**changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"statistics": []}, "statistics"),
        ({"statistics": ["mean", "moments"]}, "at most one of"),
        ({"statistics": ["gram", "gram"]}, "at most one of"),
        ({"statistics": ["mean", ["gram"]]}, "statistics"),
        ({"statistics": [None]}, "statistics"),
        ({"statistics": {"mean": 1}}, "statistics"),
        ({"statistics": 10**400}, "statistics"),
        ({"statistics": ["mean"] * 3000}, "statistics"),
        ({"statistics": "mean," * 3000}, "statistics"),
        ({"statistics": ["\x1b[2J", "gram"]}, "statistics"),
        ({"gram_bits": 3}, "gram_bits"),
        ({"gram_bits": 17}, "gram_bits"),
        ({"gram_bits": 8.5}, "gram_bits"),
        ({"gram_bits": True}, "gram_bits"),
        ({"gram_bits": "8"}, "gram_bits"),
        ({"gram_bits": 10**400}, "gram_bits"),
        ({"features": "patches"}, "features"),
        ({"features": {"name": "zip"}}, "convnet, alexnet, vgg11, resnet18, patches"),
        ({"features": {"name": "patches", "depth": 2}}, "network patches: got depth=2"),
        ({"features": {"name": "patches", "width": 10**9}}, "width"),
        ({"features": {"name": "convnet", "norm": "batch"}}, "norm"),
        ({"features": {"name": "convnet", "depth": 8}}, "convnet on 8x8 images"),
        ({"features": {"name": "patches"}, "sample": SAMPLE | {"width": 6}}, "patches on 8x6 images"),
        # What a site would have to hold of them: the square of 32,768 numbers.
        ({"features": {"name": "patches", "width": 4096}}, "at most 8192 numbers for a sample, got 32768"),
    ],
)
def test_a_hostile_gram_is_refused_in_one_line(changes: dict[str, Any], says: str) -> None:
    assert says in refusal(changed(**GRAM | changes))


def test_version_1_has_no_gram() -> None:
    assert "a plan of version 1 has no gram" in refusal(changed_first(**GRAM))


def test_golden_bytes_and_digest_of_version_1() -> None:
    assert encode_plan(a_plan(version=1)) == (
        b'{"augment":["colour","crop"],"batch":16,"classes":["0","1"],"clients":["anna","bert","carl"],'
        b'"encoding":"fp16","format":"collabdm-plan","ipc":4,"local":{"batch":256,"init":"real",'
        b'"iterations":1000,"lr":1.0,"method":"dm","momentum":0.5,"reuse":true},"network":{"depth":2,'
        b'"name":"convnet","width":16},"normalisation":{"mean":[0.5],"std":[0.25]},"pae":2,'
        b'"participation":1.0,"sample":{"channels":1,"height":8,"width":8},"seed":7,"seeds":5,'
        b'"statistics":"mean","version":1}\n'
    )
    assert plan_digest(a_plan(version=1)) == "1dc574c085313df54ec9c588d58285a087189cb22b6f811459ca9535425626a3"
    assert a_plan(version=1).encoder_seed(0) == 7121851947509772


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


@pytest.mark.parametrize("version", [0, 3, 1.0, True, "1", "2", None, [[1]], "x\n" * 500, 10**30])
def test_another_version_is_refused_by_name(version: object) -> None:
    message = refusal(changed(version=version))
    assert f"got version {json.dumps(version)[:40]}; expected version 1 or 2" in message


def test_the_names_of_one_version_are_refused_in_the_other() -> None:
    assert "sample" in refusal(changed_first(version=2))
    assert "pae" in refusal(changed(pae=2))
    assert "normalisation" in refusal(changed(normalisation=GREY))
    assert "kind, normalisation, tiles" in refusal(changed(version=1))
    assert "tiles" in refusal(changed_first(tiles=1))
    assert "kind" in refusal(changed_first(sample={"kind": "images", "channels": 1, "height": 8, "width": 8}))
    assert "normalisation" in refusal(changed_first(sample=SAMPLE))


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
        ("sample", SAMPLE | {"channels": 2}),
        ("sample", SAMPLE | {"depth": 1}),
        ("sample", SAMPLE | {"height": 10**9}),
        ("sample", SAMPLE | {"height": 2000}),
        ("sample", SAMPLE | {"width": 3}),
        ("sample", SAMPLE | {"width": "8" * 5000}),
        ("sample", SAMPLE | {"width": [8]}),
        ("sample", SAMPLE | {"channels": 3}),
        ("sample", SAMPLE | {"line\nbreak": 1}),
        ("sample", SAMPLE | {"normalisation": {"mean": [0.5], "std": [0.0]}}),
        ("sample", SAMPLE | {"normalisation": {"mean": [math.nan], "std": [1.0]}}),
        ("sample", SAMPLE | {"normalisation": GREY | {"range": 1}}),
        ("sample", SAMPLE | {"normalisation": None}),
        ("sample", SAMPLE | {"kind": None}),
        ("sample", SAMPLE | {"kind": []}),
        ("sample", SAMPLE | {"kind": {"images": 1}}),
        ("sample", SAMPLE | {"kind": "Images\n" * 500}),
        ("sample", {name: value for name, value in SAMPLE.items() if name != "kind"}),
        ("sample", {}),
        ("sample", None),
        ("sample", []),
        ("sample", "images"),
        ("sample", 7),
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
        ("tiles", 0),
        ("tiles", 3),
        ("tiles", 10**30),
        ("augment", ["zoom"]),
        ("augment", [["crop"]]),
        ("statistics", "median"),
        ("encoding", "zip"),
        ("local", {"lr": math.nan}),
        ("local", {"lr": 0}),
        ("local", {"unknown": 1}),
        ("local", {"unknown": None}),
        ("local", {"line\nbreak": 1}),
        ("local", {"model_config": {}}),
        ("local", {"__class__": 1}),
        ("local", {"": 1}),
        ("local", [[[]]]),
        ("local", {"method": ["kip"]}),
        ("local", {"method": None}),
        ("local", {"method": "kip", "kip": 7}),
        ("local", {"method": "kip", "kip": []}),
        ("local", {"method": "kip", "kip": "kip"}),
        ("local", {"method": "kip", "kip": {"lr": -1}}),
        ("local", {"method": "kip", "kip": {"lr": math.nan}}),
        ("local", {"method": "kip", "kip": {"lr": [1]}}),
        ("local", {"method": "kip", "kip": {"batch": 10**400}}),
        ("local", {"method": "kip", "kip": {"unknown": 1}}),
        ("local", {"method": "kip", "kip": {"kip": {"kip": {}}}}),
        ("local", {"method": "kip", "bptt": {}}),
        ("local", {"method": "bptt", "bptt": {"unroll": 2, "window": 3}}),
        ("local", {"kip": {}}),
        ("local", {"method": "gmm", "gmm": {}}),
        ("local", {"method": "gmm", "init": "noise"}),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(key: str, value: object) -> None:
    refusal(changed(**{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pae", 0),
        ("pae", 3),
        ("pae", None),
        ("sample", {"channels": 2, "height": 8, "width": 8}),
        ("sample", {"channels": 3, "height": 8, "width": 8}),
        ("sample", {"channels": 1, "height": 8, "width": 8, "depth": 1}),
        ("sample", {"channels": 1, "height": 10**9, "width": 8}),
        ("sample", None),
        ("sample", [1, 8, 8]),
        ("normalisation", {"mean": [0.5], "std": [0.0]}),
        ("normalisation", {"mean": [math.nan], "std": [1.0]}),
        ("normalisation", None),
        ("normalisation", []),
        ("surprise", 1),
        ("line\nbreak", 1),
        ("seed", None),
        ("local", {"method": "kip", "kip": 7}),
    ],
)
def test_a_wrong_field_of_version_1_is_refused_in_one_line(key: str, value: object) -> None:
    refusal(changed_first(**{key: value}))


KNOWN: dict[str, tuple[dict[str, Any], Mapping[str, object]]] = {
    "kind of samples": ({"sample": SAMPLE | {"kind": "zip\n"}}, MODALITIES),
    "statistic": ({"statistics": "zip"}, STATISTICS),
    "encoding": ({"encoding": "zip"}, ENCODINGS),
    "network": ({"network": {"name": "zip"}}, NETWORKS),
    "local method": ({"local": {"method": "zip"}}, LOCAL_METHODS),
    "operation of the augmentation": ({"augment": ["crop", "zip"]}, OPERATIONS),
}


@pytest.mark.parametrize("what", KNOWN)
def test_an_unknown_name_is_answered_with_the_known_ones(what: str) -> None:
    changes, known = KNOWN[what]
    message = refusal(changed(**changes))
    assert "zip" in message
    expected = message.split("expected ")[1]
    assert all(name in expected for name in known)
    if what != "kind of samples":
        assert message == refusal(changed_first(**changes))


def test_a_registered_name_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal(changed(statistics="second", encoding="same", local={"method": "nothing"}))
    monkeypatch.setitem(STATISTICS, "second", STATISTICS["moments"])
    monkeypatch.setitem(ENCODINGS, "same", ENCODINGS["fp32"])
    monkeypatch.setitem(LOCAL_METHODS, "nothing", LOCAL_METHODS["real"])
    plan = decode_plan(changed(statistics="second", encoding="same", local={"method": "nothing"}))
    assert plan.statistic is STATISTICS["moments"]
    assert (plan.encoding, plan.local.method) == ("same", "nothing")


@pytest.mark.parametrize("depth", [50, 400, 700, 900, 990, 5000, 100_000])
@pytest.mark.parametrize("start", ["[", '{"a":'])
@pytest.mark.parametrize("place", ["SAMPLE", "KIND", "WIDTH", "EXTRA", "LOCAL", "METHOD", "KIP", "AUGMENT", "SEED"])
@pytest.mark.parametrize("version", [1, 2])
def test_what_is_nested_deeply_is_refused_in_one_line(version: int, place: str, start: str, depth: int) -> None:
    shown: dict[str, dict[str, Any]] = {
        "SAMPLE": {"sample": "SAMPLE"},
        "KIND": {"sample": SAMPLE | {"kind": "KIND"}},
        "WIDTH": {"sample": SAMPLE | {"width": "WIDTH"}},
        "EXTRA": {"EXTRA": "EXTRA"},
        "LOCAL": {"local": "LOCAL"},
        "METHOD": {"local": {"method": "METHOD"}},
        "KIP": {"local": {"method": "kip", "kip": {"lr": "KIP"}}},
        "AUGMENT": {"augment": ["AUGMENT"]},
        "SEED": {"seed": "SEED"},
    }
    content = (changed if version == 2 else changed_first)(**shown[place])
    nested = start * depth + "0" + {"[": "]", '{"a":': "}"}[start] * depth
    refusal(
        content.replace(f': "{place}"'.encode(), f": {nested}".encode()).replace(
            f'["{place}"]'.encode(), f"[{nested}]".encode()
        )
    )


def test_the_message_names_the_field() -> None:
    assert "local.lr" in refusal(changed(local={"lr": -1}))
    assert "local.kip.lr" in refusal(changed(local={"method": "kip", "kip": {"lr": -1}}))
    assert "sample.channels" in refusal(changed(sample=SAMPLE | {"channels": 2}))
    assert "sample.height" in refusal(changed(sample=SAMPLE | {"height": 2000}))
    assert "sample.normalisation.std.0" in refusal(changed(sample=SAMPLE | {"normalisation": GREY | {"std": ["x"]}}))
    assert "plan.json: normalisation.std.0: " in refusal(changed_first(normalisation=GREY | {"std": ["x"]}))
    assert "plan.json: pae: got 0" in refusal(changed_first(pae=0))
    assert "plan.json: normalisation: got None" in refusal(changed_first(normalisation=None))
    assert "clients.1" in refusal(changed(clients=["a", ""]))
    assert "partition-and-expand" in refusal(changed(tiles=3))


def test_the_message_is_in_plain_words() -> None:
    assert "surprise: got 1; expected no such key;" in refusal(changed(surprise=1))
    assert "ipc: got 0; expected at least 1;" in refusal(changed(ipc=0))
    assert "clients: got []; expected at least 1 item, not 0;" in refusal(changed(clients=[]))
    assert "expected kind must be one of images, tables, series, got 'rows' (for another, this site needs" in refusal(
        changed(sample={"kind": "rows"})
    )


@pytest.mark.parametrize("shape", [[0], [-1], [2**20 + 1], [2**14, 2**13], [2.5], [True], [10**400]])
def test_no_modality_makes_samples_of_any_size(shape: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODALITIES, "blocks", Blocks)
    assert "expected a sample has at most 67108864 values" in refusal(
        changed(sample={"kind": "blocks", "sides": shape}, tiles=1, augment=[])
    )


def test_samples_of_the_largest_size_may_be_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODALITIES, "blocks", Blocks)
    for shape in ([2**20], [2**13, 2**13], [1]):
        plan = a_plan(sample={"kind": "blocks", "sides": shape}, tiles=1, augment=[])
        assert decode_plan(encode_plan(plan)) == plan


@pytest.mark.parametrize("name", ["ipc", "sample", "seed", "clients"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_required_field_may_not_be_missing(version: int, name: str) -> None:
    fields = json.loads(encode_plan(a_plan(version=version)))
    del fields[name]
    assert name in refusal(json.dumps(fields).encode())


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


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_plan_of_version_1_is_refused_or_valid(position: int, byte: int) -> None:
    content = bytearray(encode_plan(a_plan(version=1)))
    content[position % len(content)] = byte
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedWarning)
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
        a_plan(tiles=9)


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


@pytest.mark.parametrize(
    "name",
    [
        "می\u200cرود",
        "क\u094d\u200dष",
        "\U0001f468\u200d\U0001f469",
        "\U0001fae8",
        "grade\u00a0I",
        "\u3000x",
        "ខ\u200bម",
    ],
)
def test_names_of_every_script_are_names(name: str) -> None:
    made = a_plan(classes=(name, "other"))
    assert decode_plan(encode_plan(made)).classes == (name, "other")


@pytest.mark.parametrize(
    "name",
    ["a\u202eb", "a\u2066b", "a\u200fb", "a\nb", "a\x1b[2J", "Web Attack \x96 XSS", "a\u00adb", "\u200d", "\u00a0", ""],
)
def test_names_that_could_deceive_a_terminal_are_refused(name: str) -> None:
    message = refusal(changed(classes=[name, "other"]))
    assert "classes" in message
    assert all(map(shows, message))


def test_names_that_look_the_same_are_refused() -> None:
    for names in (["café", "cafe\u0301"], ["grade I", "grade\u00a0I"], ["می\u200cرود", "میرود"]):
        assert "distinct to the eye" in refusal(changed(classes=names))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("ipc",), True),
        (("ipc",), "2"),
        (("seed",), False),
        (("participation",), True),
        (("most_held",), "5"),
        (("sample", "height"), "8"),
        (("sample", "normalisation", "mean", 0), True),
        (("sample", "normalisation", "std", 0), "0.5"),
        (("network", "width"), True),
        (("tiles",), True),
    ],
    ids=str,
)
def test_what_is_no_number_is_not_taken_for_one(path: tuple[str | int, ...], value: object) -> None:
    fields: Any = json.loads(encode_plan(a_plan(most_held=5)))
    place = fields
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(PlanError) as caught:
        decode_plan(json.dumps(fields).encode())
    assert str(caught.value).startswith(f"plan: {'.'.join(map(str, path))}: got "), caught.value


@pytest.mark.parametrize("twice", ['"ipc": 1, ', '"\\u0069pc": 1, ', '"sample": {}, '])
def test_a_key_that_stands_there_twice_is_refused(twice: str) -> None:
    text, said = encode_plan(a_plan()).decode(), r"^plan: got JSON with the key '(ipc|sample)' twice; expected a plan"
    with pytest.raises(PlanError, match=said):
        decode_plan(f"{{{twice}{text[1:]}".encode())


def test_a_plan_from_before_min_held_asks_for_every_class_and_keeps_its_bytes() -> None:
    old = json.loads(encode_plan(a_plan()))
    assert "min_held" not in old
    content = json.dumps(old, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    plan = decode_plan(content)
    assert plan.min_held == 1
    assert encode_plan(plan) == content
    # Written out it means the same, and has the same digest.
    assert plan_digest(decode_plan(changed(min_held=1))) == plan_digest(plan)
    assert decode_plan(encode_plan(a_plan(min_held=2))).min_held == 2
    assert plan_digest(a_plan(min_held=2)) != plan_digest(plan)


@pytest.mark.parametrize("least", [0, -1, 1.5, "two", None])
def test_a_min_held_that_is_no_count_is_refused(least: object) -> None:
    assert "min_held" in refusal(changed(min_held=least))


def test_version_1_has_no_min_held() -> None:
    assert "min_held" in refusal(changed_first(min_held=2))


def test_a_promise_of_every_site_is_written_as_before_there_was_central_noise() -> None:
    plan = private_plan()
    assert plan.privacy is not None
    assert plan.privacy.noise == "site"
    written = encode_plan(plan)
    assert b'"noise"' not in written
    assert b'"masks"' not in written
    assert decode_plan(written) == plan
    central, _ = masked_plan(privacy={"epsilon": 1, "noise": "sum"})
    assert b'"noise":"sum"' in encode_plan(central)
    assert decode_plan(encode_plan(central)) == central
