"""What settings leave open: who judges, and by which recipe."""

from collabdm.config import load_config
from collabdm.networks import NetworkSpec
from collabdm.planning import networks_tested, recipe_for
from collabdm.training.recipes import RECIPES
from planning.test_plans import DIGITS


def test_the_encoder_s_architecture_judges_unless_others_are_named() -> None:
    assert networks_tested(load_config(), DIGITS) == (NetworkSpec(depth=2),)
    assert networks_tested(load_config(options={"plan.network": "alexnet"}), DIGITS) == (NetworkSpec(name="alexnet"),)
    named = load_config(options={"evaluate.networks": "resnet18,alexnet"})
    assert [spec.name for spec in networks_tested(named, DIGITS)] == ["resnet18", "alexnet"]


def test_protocols() -> None:
    paper = recipe_for(load_config(options={"evaluate.protocol": "paper"}))
    assert (paper.count, paper.epochs, paper.lr, paper.momentum, paper.weight_decay, paper.batch) == (
        *(20, 1000, 0.01),
        *(0.9, 5e-4, 256),
    )
    assert paper.most_samples is None
    assert recipe_for(load_config(options={"evaluate.protocol": "paper", "method": "full-data"})) == paper
    assert recipe_for(load_config(options={"evaluate.count": 7})).count == 7
    assert recipe_for(load_config(options={"evaluate.epochs": 7})) == RECIPES["fast"].model_copy(update={"epochs": 7})
    fast, whole = recipe_for(load_config()), recipe_for(load_config(options={"method": "full-data"}))
    assert fast == RECIPES["fast"]
    assert whole.epochs_for(50_000) < fast.epochs_for(100)
