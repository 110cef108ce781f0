"""The table of methods."""

import pytest

from collabdm.baselines import rival_named
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
    "analytic": ("rival", False, False, False),
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
    "fed-kmeans": ("rival", False, False, False),
    "fed-agglomerative": ("rival", False, False, False),
    "fed-herding": ("rival", False, False, False),
    "k-fed": ("rival", False, False, False),
    "central-kmeans": ("rival", False, True, False),
    "central-agglomerative": ("rival", False, True, False),
    "central-herding": ("rival", False, True, False),
    "strawman-gradient": ("rival", False, False, False),
    "strawman-meta": ("rival", False, False, False),
}


def test_the_table() -> None:
    assert {name: (m.source, m.refined, m.central, m.pae) for name, m in METHODS.items()} == TABLE
    assert all(method_named(name) is method and method.name == name for name, method in METHODS.items())


def test_every_rival_is_a_method() -> None:
    rivals = [name for name, method in METHODS.items() if method.source == "rival"]
    assert [rival_named(name).name for name in rivals] == rivals
    assert all(method.run is None for name, method in METHODS.items() if name not in rivals)


@pytest.mark.parametrize("name", ["collabdm", "full-data", "magic"])
def test_what_is_no_rival_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=f"got {name}; expected one of .*fedavg, ensemble, .*; fix: ") as raised:
        rival_named(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["", "CollabDM", "collabdm_pae", "full-data-pae"])
def test_an_unknown_method_lists_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^method: got {name}; expected one of {', '.join(TABLE)}; fix: "):
        method_named(name)
