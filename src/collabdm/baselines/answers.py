"""What a rival's clients answer to a plan of one round, and what it costs them."""

from collections.abc import Mapping
from dataclasses import dataclass

from collabdm.baselines.base import RivalJob
from collabdm.client import contribute
from collabdm.protocol import Contribution, Plan, acceptance, decode_contribution, encode_contribution, encode_plan
from collabdm.storage.kept_results import KeptResults

__all__ = ["Answers", "answers_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """The contributions as decoded, with what they cost, by client; `memory`: the most over the clients, in MB."""

    contributions: tuple[Contribution, ...]
    bytes_down: Mapping[str, int]
    bytes_up: Mapping[str, int]
    seconds: Mapping[str, float]
    memory: float


def answers_of(job: RivalJob, plan: Plan) -> Answers:
    """Every client's contribution to the plan, through its encoding."""
    expected, received, up, seconds, memory = acceptance(plan), [], {}, {}, 0.0
    for client in plan.clients:
        kept = KeptResults(job.kept, report=job.report)
        samples = job.train.take(job.parts[client])
        sent = contribute(plan, client, samples, engine=job.engine, kept=kept, report=job.report)
        content = encode_contribution(sent, plan)
        received.append(decode_contribution(content, plan, expected=expected))
        up[client], seconds[client] = len(content), sum(kept.seconds.values())
        memory = max([memory, *kept.memory.values()])
    return Answers(
        contributions=tuple(received),
        bytes_down=dict.fromkeys(plan.clients, len(encode_plan(plan))),
        bytes_up=up,
        seconds=seconds,
        memory=memory,
    )
