"""Three sites, one round, one small synthetic set, and networks trained on it. Run: python examples/round.py"""

import torch

import collabdm


def main() -> None:
    """Hold a round on scikit-learn's digits, shared unevenly among three sites."""
    data = collabdm.load_dataset("digits")
    sites = collabdm.partition(data.train, ["north", "south", "west"], beta=0.5)
    config = collabdm.Config(ipc=1, plan={"seeds": 20, "batch": 64}, local={"iterations": 30})

    plan = collabdm.make_plan(config, clients=sites, preset=data.preset)  # the server
    answers = [collabdm.contribute(plan, name, samples) for name, samples in sites.items()]  # each site
    distilled = collabdm.distill(plan, answers, config.server)  # the server
    result = collabdm.evaluate(distilled, data.test)  # anyone
    print(f"{result.accuracy:.1%} of {len(data.test)} test images right")

    # What travelled, and what came out.
    sent = [len(collabdm.encode_contribution(answer, plan)) for answer in answers]
    print(f"{len(collabdm.encode_plan(plan)):,} bytes to each site, {sum(sent) / len(sent):,.0f} bytes back")
    print(f"{len(data.train):,} images at {len(sites)} sites became {len(distilled)} of the same size")
    assert isinstance(distilled, torch.utils.data.Dataset)


if __name__ == "__main__":
    main()
