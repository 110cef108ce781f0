"""Bars for whoever asks for them, and objects that say what they are in a line."""

import base64
import io
import re

import numpy as np
import torch

import collabdm
from collabdm.data import Dataset
from collabdm.engine import EAGER
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.progress import Event, Progress


def test_every_stage_has_a_bar_that_begins_anew_with_each_client() -> None:
    shown = io.StringIO()
    report = Progress(file=shown, mininterval=0, ascii=True)
    for client in ("north", "south"):
        for done in range(4):
            report(Event(stage="local", client=client, done=done, total=3, loss=0.5))
    report(Event(stage="plan", done=0, total=1, message="two\nlines"))
    report(Event(stage="distill", done=5, total=10))
    text = shown.getvalue()
    for words in ("local north: 100%", "3/3", "local south:   0%", "local south: 100%", "loss=0.5", "5/10"):
        assert words in text, words
    assert "two lines\n" in text


def small_round() -> tuple[Dataset, collabdm.Plan, collabdm.Contribution, collabdm.DistilledSet]:
    data = collabdm.load_dataset("digits")
    sites = {"north": data.train.take(np.arange(60))}
    config = collabdm.Config(
        ipc=1, method="collabdm", plan={"seeds": 1, "batch": 8, "network": {"name": "convnet", "width": 4, "depth": 1}}
    )
    plan = collabdm.make_plan(config, clients=sites, preset=data.preset)
    sample = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))
    made = collabdm.DistilledSet(
        samples=torch.zeros(2, 1, 8, 8),
        labels=torch.tensor([0, 1]),
        classes=("<b>", "dog"),
        sample=sample,
        augment=(),
        method="<i>",
        facts={},
    )
    plan = plan.model_copy(update={"local": plan.local.model_copy(update={"iterations": 1})})
    return data, plan, collabdm.contribute(plan, "north", sites["north"], engine=EAGER), made


def test_objects_are_a_line() -> None:
    data, plan, answer, made = small_round()
    lines = {
        repr(data): "Dataset(digits: 1297 train and 500 test samples [1, 8, 8] of 10 classes)",
        repr(plan): "Plan(images (8x8, grey), 10 classes, 1 clients, 1 seeds, 1 a class, statistics mean)",
        str(plan): repr(plan),
        repr(EAGER): f"Engine(eager, {EAGER.dtype}, on cpu, chunks of {EAGER.chunk}, 1 processes of 1 threads)",
        repr(made): "DistilledSet(2 images (8x8, grey) of 2 classes, by <i>)",
    }
    for found, expected in lines.items():
        assert found == expected
    assert repr(data.test).startswith("Samples(500 of uint8 [1, 8, 8], 10 classes: 0 ")
    assert repr(answer).startswith("Contribution(north: 60 samples held of 10 classes, statistics [1, 10, 1, ")
    assert all("\n" not in repr(one) and len(repr(one)) < 250 for one in (data, data.test, plan, answer, made))


def test_a_notebook_shows_the_preview_and_no_markup_of_a_stranger() -> None:
    made = small_round()[3]
    page = made._repr_html_()
    assert "by &lt;i&gt;" in page
    assert "<i>" not in page
    found = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert found
    assert base64.b64decode(found[1]) == made.sample.preview(made._shown())
