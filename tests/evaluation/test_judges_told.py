"""What is told before judges are trained; of classical judges `tests/judges` asks."""

from collections.abc import Callable

import pytest
import torch

from collabdm.data.samples import Samples
from collabdm.engine import EAGER
from collabdm.evaluation.networks import Trials, network_results
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.judges.families import NearestNeighbours
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.progress import Event
from collabdm.randomness import Stream
from collabdm.training.recipes import RECIPES
from collabdm.training.teacher_labels import TeacherLabels
from collabdm.training.testing import Voter
from collabdm.training.testing import test_accuracy as accuracy_on
from collabdm.training.training_set import TrainingSet
from tiny_runs import TINY_NETWORK

SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.4,), std=(0.3,)))
PATCHES = NetworkSpec(name="patches", width=4)
SHORT = {"count": 1, "epochs": 1}


@pytest.mark.parametrize(
    ("recipe", "done", "told"), [("together", 0, True), ("strong", 0, False), ("together", 1, False)]
)
@pytest.mark.parametrize("augment", [(), ("crop", "flip")])
def test_what_the_teacher_has_alone_is_told_where_networks_are_tested_with_it(
    recipe: str, done: int, told: bool, augment: tuple[str, ...], make_samples: Callable[..., Samples]
) -> None:
    samples = make_samples([12, 7, 5])
    parameters = initial_parameters(build_network(PATCHES, SAMPLE.shape, 3), Stream(2, "teacher"))
    training = TrainingSet(
        samples=torch.from_numpy(Stream(1, "samples").uniform((6, 1, 8, 8), -1, 1)),
        labels=torch.arange(6) % 3,
        sample=SAMPLE,
        augment=augment,
        teacher=TeacherLabels(network=PATCHES, parameters=parameters),
    )
    trials = Trials(networks=(TINY_NETWORK,), recipe=RECIPES[recipe].model_copy(update=SHORT), seed=0, engine=EAGER)
    lines: list[Event] = []
    list(network_results(training, samples, trials, done=done, report=lines.append))
    views = augment[1:]
    alone = accuracy_on((Voter(network=PATCHES, parameters=parameters, views=views),), samples, SAMPLE, EAGER).accuracy
    line = f"the teacher alone has {100 * alone:.1f} %; each network is tested with it beside it"
    viewed = "networks are asked about every test sample as it is and by flip; the mean counts"
    expected = ([viewed] if views and not done else []) + ([line] if told else [])
    assert [event.message for event in lines if event.message] == expected
    # A classical judge has nobody beside it.
    judges = Trials(networks=(NearestNeighbours(),), recipe=trials.recipe, seed=0, engine=EAGER)
    lines.clear()
    list(network_results(training, samples, judges, report=lines.append))
    messages = [event.message or "" for event in lines]
    assert not any("alone has" in one or "networks are asked" in one for one in messages)
    assert any("test samples as they are, not by flip too" in one for one in messages) == bool(views)
