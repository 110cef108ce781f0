import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data import PartitionKind, Samples, client_names, partition_indices, partition_table
from collabdm.errors import ConfigError, DataError
from collabdm.randomness import Stream


def of_counts(counts: list[int]) -> Samples:
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return Samples(
        values=np.zeros((len(labels), 1, 1, 1), np.uint8),
        labels=labels,
        classes=tuple(f"c{y}" for y in range(len(counts))),
    )


def split(samples: Samples, kind: PartitionKind, clients: int | list[str] = 5, beta=0.1, ipc=10, seed=0, **more):
    return partition_indices(
        samples, kind=kind, clients=clients, beta=beta, ipc=ipc, stream=Stream(seed, "partition"), **more
    )


@given(
    kind=st.sampled_from(["iid", "dirichlet", "dirichlet-reserved", "by-column", "single"]),
    counts=st.lists(st.integers(30, 60), min_size=1, max_size=5),
    clients=st.integers(1, 4),
    beta=st.floats(0.3, 50),
    balance=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_sample_has_exactly_one_client(kind, counts, clients, beta, balance, seed) -> None:
    samples = of_counts(counts)
    column = Stream(seed, "column").integers(3, len(samples))
    parts = split(samples, kind, clients, beta, ipc=3, seed=seed, balance=balance, column_values=column)
    together = np.concatenate(list(parts.values()))
    np.testing.assert_array_equal(np.sort(together), np.arange(len(samples)))
    assert list(parts) == sorted(parts)
    for part in parts.values():
        assert part.dtype == np.int64
        assert len(part) >= 1
        assert (np.diff(part) > 0).all()
    expected = {"by-column": len(np.unique(column)), "single": 1}.get(kind, clients)
    assert len(parts) == expected
    table = partition_table(samples, parts)
    assert table.shape == (expected, len(counts))
    np.testing.assert_array_equal(table.sum(axis=0), counts)
    again = split(samples, kind, clients, beta, ipc=3, seed=seed, balance=balance, column_values=column)
    assert all(np.array_equal(parts[name], again[name]) for name in parts)


def test_iid_sizes_differ_by_at_most_one_and_classes_mix() -> None:
    samples = of_counts([500, 500, 3])
    parts = split(samples, "iid", clients=4)
    assert sorted(len(part) for part in parts.values()) == [250, 251, 251, 251]
    # 125 of 500 expected; a hypergeometric standard deviation is about 8.
    assert (abs(partition_table(samples, parts)[:, :2] - 125) < 40).all()


def test_pure_dirichlet_leaves_a_third_of_the_cells_empty() -> None:
    samples = of_counts([5000] * 10)
    tables = [partition_table(samples, split(samples, "dirichlet", seed=seed)) for seed in range(40)]
    empty = np.stack(tables) == 0
    # A cell is empty below about half a sample: P(Beta(0.1, 0.4) < 0.5 / 5000) = 0.334; the error is 0.01.
    assert empty.mean() == pytest.approx(0.334, abs=0.03)
    assert np.ptp(empty.mean(axis=(0, 2))) < 0.12, "no client is favoured by rounding"


def test_dirichlet_shares_have_the_known_mean_and_variance() -> None:
    samples = of_counts([1000] * 10)
    tables = [partition_table(samples, split(samples, "dirichlet", beta=0.5, seed=s)) for s in range(60)]
    shares = np.stack(tables)[:, 0] / 1000
    assert shares.mean() == pytest.approx(1 / 5, abs=0.03)
    # Var of one share of Dir(b, ..., b) over K: (K - 1) / (K^2 (K b + 1)).
    assert shares.var() == pytest.approx(4 / (25 * 3.5), rel=0.15)


def test_large_beta_is_nearly_even() -> None:
    samples = of_counts([1000] * 3)
    table = partition_table(samples, split(samples, "dirichlet", beta=1e6))
    assert (abs(table - 200) <= 3).all()


def test_reserved_gives_every_client_every_class() -> None:
    samples = of_counts([5000] * 10)
    for seed in range(5):
        table = partition_table(samples, split(samples, "dirichlet-reserved", seed=seed))
        assert table.min() >= 10
        assert table.sum(axis=1).min() >= 100


def test_reserved_samples_are_drawn_at_random() -> None:
    samples = of_counts([100])
    first = split(samples, "dirichlet-reserved", clients=2, ipc=40, seed=1)
    second = split(samples, "dirichlet-reserved", clients=2, ipc=40, seed=2)
    assert not np.array_equal(first["0"], second["0"])


def test_the_cap_shuts_full_clients_out_of_later_classes() -> None:
    samples = of_counts([300] * 10)
    for seed in range(20):
        table = partition_table(samples, split(samples, "dirichlet", clients=3, balance=True, seed=seed))
        before = np.cumsum(table, axis=1) - table
        assert (table[before >= 1000] == 0).all()
    uncapped = partition_table(samples, split(samples, "dirichlet", clients=3, seed=0))
    before = np.cumsum(uncapped, axis=1) - uncapped
    assert (uncapped[before >= 1000] > 0).any()


def test_a_tiny_beta_gives_each_class_to_one_client() -> None:
    samples = of_counts([50] * 40)
    table = partition_table(samples, split(samples, "dirichlet", clients=3, beta=1e-300))
    assert ((table > 0).sum(axis=0) == 1).all()


def test_by_column_uses_the_values_as_names() -> None:
    samples = of_counts([3, 2])
    column = np.array(["oslo", "rome", "oslo", "bern", "rome"])
    parts = split(samples, "by-column", column_values=column)
    assert {name: part.tolist() for name, part in parts.items()} == {
        "bern": [3],
        "oslo": [0, 2],
        "rome": [1, 4],
    }
    assert partition_table(samples, parts).tolist() == [[0, 1], [2, 0], [1, 1]]
    assert list(split(samples, "by-column", clients=["rome", "oslo", "bern"], column_values=column)) == list(parts)
    with pytest.raises(ConfigError, match="client names"):
        split(samples, "by-column", clients=["rome", "oslo"], column_values=column)


def test_client_names() -> None:
    assert client_names(5) == ["0", "1", "2", "3", "4"]
    assert client_names(20)[:2] == ["00", "01"]
    assert client_names(101)[-1] == "100"
    assert client_names(["b", "a"]) == ["a", "b"]
    with pytest.raises(ConfigError, match="distinct"):
        client_names(["a", "a"])
    with pytest.raises(ConfigError, match="distinct"):
        client_names([])


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ConfigError, "beta: got 0", {"beta": 0}),
        (ConfigError, "beta: got -0.5", {"beta": -0.5}),
        (ConfigError, "beta: got nan", {"beta": float("nan")}),
        (ConfigError, "beta: got inf", {"beta": float("inf")}),
        (ConfigError, "clients: got 0; expected 1 or more", {"clients": 0}),
        (DataError, "clients: got 61; expected at most 60", {"clients": 61}),
        (DataError, "raise beta", {"clients": 50, "beta": 1e-3}),
        (ConfigError, "ipc: got 0", {"kind": "dirichlet-reserved", "ipc": 0}),
        (
            DataError,
            r"class c0: got 30; expected 50 \(5 clients with 10 each\)",
            {"kind": "dirichlet-reserved"},
        ),
        (ConfigError, "got no column", {"kind": "by-column"}),
        (DataError, r"got shape \[3\]", {"kind": "by-column", "column_values": np.arange(3)}),
        (ConfigError, "partition kind: got sorted", {"kind": "sorted"}),
        (ConfigError, "clients of `single`", {"kind": "single", "clients": ["a", "b"]}),
    ],
)
def test_impossible_partitions_are_refused(error, message: str, arguments: dict) -> None:
    with pytest.raises(error, match=message) as caught:
        split(of_counts([30, 30]), **{"kind": "dirichlet", **arguments})
    assert "fix: " in str(caught.value)


def test_reserving_skips_a_class_that_nobody_has() -> None:
    table = partition_table(
        samples := of_counts([100, 0, 100]), split(samples, "dirichlet-reserved", clients=2, ipc=10)
    )
    assert table[:, 1].tolist() == [0, 0]
    assert table[:, [0, 2]].min() >= 10
