"""FedDM's local stage: the distance with its logit term, and the steps around the server's network."""

import torch

from collabdm.local.feddm import moved, with_logits
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream


def test_the_distance_is_that_of_mean_features_and_mean_logits() -> None:
    draws = Stream(0, "feddm").generator()
    real, synthetic, readout, bias = (
        torch.from_numpy(draws.standard_normal(shape)) for shape in ((6, 5), (3, 5), (4, 5), (4,))
    )
    logits = [(x @ readout.T + bias).mean(dim=0) for x in (real, synthetic)]
    expected = (real.mean(dim=0) - synthetic.mean(dim=0)).square().sum() + (logits[0] - logits[1]).square().sum()
    target = real.mean(dim=0)[None]
    assert torch.allclose(with_logits(readout).loss(target, 6, synthetic), expected, rtol=1e-12)


def test_weights_move_by_the_radius_in_another_direction_each_time() -> None:
    network = build_network(NetworkSpec(width=8, depth=2), (1, 8, 8), 10)
    server = initial_parameters(network, Stream(0, "server model"))
    steps = []
    for i in range(2):
        near = moved(server, 5.0, Stream(0, "feddm", i))
        assert sorted(near) == sorted(server)
        steps.append(torch.cat([(near[name] - value).flatten() for name, value in server.items()]))
        assert abs(float(steps[-1].norm()) - 5) < 1e-4
    assert abs(float(steps[0] @ steps[1]) / 25) < 0.2
    still = moved(server, 0.0, Stream(0, "x"))
    assert all(torch.equal(still[name], value) for name, value in server.items())
