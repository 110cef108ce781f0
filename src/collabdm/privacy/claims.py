"""What a set made under a promise of privacy can say of itself, for its card."""

from collections.abc import Iterable

from pydantic import JsonValue

from collabdm.privacy.accountant import epsilon_of, noise_multiplier
from collabdm.protocol import Contribution, Plan

__all__ = ["insecure_facts", "mask_facts", "promise_facts", "promise_text"]


def mask_facts(plan: Plan) -> dict[str, JsonValue]:
    """`threshold`, and `epsilon_alone`: what the noise of a single site promises by itself, which is all that protects
    a site whose masks were opened to a server that also has its sums."""
    if plan.masks is None or plan.privacy is None:
        return {}
    share = noise_multiplier(plan.privacy.epsilon, plan.privacy.delta) / plan.noise_shares**0.5
    alone = plan.privacy.epsilon if plan.noise_shares == 1 else float(f"{epsilon_of(share, plan.privacy.delta):.4g}")
    return {"masks": {"threshold": plan.masks.threshold, "epsilon_alone": alone}}


def promise_text(plan: Plan) -> str | None:
    """The promise that a plan makes to its sites, in a line; None where it makes none."""
    made = plan.privacy
    return made and f"epsilon {made.epsilon:g}, delta {made.delta:g}, for a {made.unit}; noise: {made.noise}"


def promise_facts(plan: Plan, contributions: Iterable[Contribution]) -> dict[str, JsonValue]:
    """`promise`: what the contributions keep, in a line; `insecure_noise` in its place where a site broke it."""
    broken = insecure_facts(plan, contributions)
    return broken or ({} if plan.privacy is None else {"promise": promise_text(plan)})


def insecure_facts(plan: Plan, contributions: Iterable[Contribution]) -> dict[str, JsonValue]:
    """`insecure_noise`: the sites whose noise follows from a number, so that the promise is not kept; none, no fact."""
    if plan.privacy is None:
        return {}
    names: list[JsonValue] = [*sorted({name for one in contributions for name in one.insecure})]
    return {"insecure_noise": names} if names else {}
