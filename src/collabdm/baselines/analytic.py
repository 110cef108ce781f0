"""The additive teacher alone: the ridge classifier of all data on a fixed feature map, from one round of sums.

Every client sends its class means and its covariance of the features, and nothing else; what adds up is exact whatever
the split (AFL, He et al., CVPR 2025, with features that need no pretraining: Coates and Ng 2012).
"""

import time

from collabdm.baselines.answers import answers_of
from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.baselines.models import Model
from collabdm.config import Config
from collabdm.data import Preset
from collabdm.planning import make_plan
from collabdm.privacy import enough_held
from collabdm.progress import Event
from collabdm.protocol import GRAM, LocalSpec, Plan
from collabdm.teacher import pooled_equations, teacher_parameters, teacher_views

__all__ = ["ANALYTIC", "analytic_plan"]


def analytic_plan(job: RivalJob) -> Plan:
    """A plan that asks for the Gram matrix alone, of every client that holds enough of a class to send anything.

    Raises `ConfigError` where the samples are too small for the feature map, or none is known for them.
    """
    config = _asking(job.config)
    least = config.plan.min_held
    silent = [name for name, rows in job.parts.items() if not len(enough_held(job.train.take(rows), least))]
    if silent:
        told = f"{len(silent)} of {len(job.parts)} clients send nothing: none of their classes has {least} samples"
        job.report(Event(stage="plan", done=1, total=1, message=told))
    return make_plan(config, clients=sorted(set(job.parts) - set(silent)), preset=job.preset)


def _asking(config: Config) -> Config:
    asked = config.plan.model_copy(update={"statistics": GRAM, "seeds": 0, "tiles": None})
    return config.model_copy(update={"method": "collabdm", "plan": asked, "local": LocalSpec(method="none")})


def _check(config: Config, preset: Preset) -> None:
    make_plan(_asking(config), clients=("any",), preset=preset)


def _run(job: RivalJob) -> RivalResult:
    plan = analytic_plan(job)
    answers = answers_of(job, plan)
    started = time.perf_counter()
    parameters, found = teacher_parameters(plan, pooled_equations(plan, answers.contributions))
    assert plan.features is not None
    features, classes = len(found.weight), len(plan.classes)
    model = Model(
        spec=plan.features,
        sample=plan.sample,
        classes=plan.classes,
        members=(parameters,),
        views=teacher_views(plan),
    )
    return RivalResult(
        product=(model,),
        bytes_down=answers.bytes_down,
        bytes_up=answers.bytes_up,
        rounds=1,
        client_seconds=answers.seconds,
        server_seconds=time.perf_counter() - started,
        memory={"client": answers.memory},
        facts={
            "features": features,
            "parameters": classes * (features + 1),
            "gram_bits": plan.gram_bits,
            "penalty": found.penalty,
            "error": found.error,
        },
    )


ANALYTIC = Rival(name="analytic", product="model", run=_run, check=_check)
