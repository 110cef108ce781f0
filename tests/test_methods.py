"""The table of methods."""

import pytest

from collabdm.baselines import RIVALS
from collabdm.errors import ConfigError
from collabdm.methods import METHODS, method_named

# name: source, refined by the server, all data in one place, partition and expand
TABLE = {
    "random-real": ("real", False, False, False),
    "random-real-pae": ("real", False, False, True),
    "local-dm": ("round", False, False, False),
    "local-dm-pae": ("round", False, False, True),
    "collabdm": ("round", True, False, False),
    "collabdm-pae": ("round", True, False, True),
    "central-dm": ("round", True, True, False),
    "central-dm-pae": ("round", True, True, True),
    "full-data": ("full", False, False, False),
    "fedavg": ("rival", False, False, False),
    "ensemble": ("rival", False, False, False),
    "dense": ("rival", False, False, False),
    "co-boosting": ("rival", False, False, False),
    "fedd3": ("rival", False, False, False),
    "fedd3-gmm": ("rival", False, False, False),
    "fedd3-dbscan": ("rival", False, False, False),
    "dosfl": ("rival", False, False, False),
    "dosfl-soft": ("rival", False, False, False),
    "feddm": ("rival", False, False, False),
    "strawman-gradient": ("rival", False, False, False),
    "strawman-meta": ("rival", False, False, False),
}


def test_the_table() -> None:
    assert {name: (m.source, m.refined, m.central, m.pae) for name, m in METHODS.items()} == TABLE
    assert all(method_named(name) is method and method.name == name for name, method in METHODS.items())


def test_every_rival_is_a_method() -> None:
    assert {name for name, method in METHODS.items() if method.source == "rival"} == set(RIVALS)
    assert all(rival.name == name for name, rival in RIVALS.items())


@pytest.mark.parametrize("name", ["", "CollabDM", "collabdm_pae", "full-data-pae"])
def test_an_unknown_method_lists_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^method: got {name}; expected one of {', '.join(TABLE)}; fix: "):
        method_named(name)
