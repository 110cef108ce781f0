"""What a round needs before it is distilled: contributions enough, and for every class."""

from collections.abc import Sequence
from dataclasses import dataclass

from collabdm.errors import ConfigError, DataError, QuorumError, explain
from collabdm.initial_set import InitialSet, initial_set
from collabdm.privacy.opening import opened, sites_in
from collabdm.protocol import Contribution, Plan

__all__ = ["USUAL", "Terms", "check_quorum", "checked_start", "missing_classes"]

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Terms:
    """`min_clients` usable contributions are needed, half of the plan's clients by default; with `allow_missing`, a
    class that nobody holds is left out of the set."""

    min_clients: int | None = None
    allow_missing: bool = False


USUAL = Terms()


def check_quorum(plan: Plan, terms: Terms) -> None:
    """Before any work: raise `ConfigError` where more contributions are asked for than the plan has clients."""
    if terms.min_clients is not None and terms.min_clients > len(plan.clients):
        expected = f"at most the {len(plan.clients)} of the plan"
        raise ConfigError(explain("--min-clients", got=terms.min_clients, expected=expected, fix="lower it"))


def checked_start(
    plan: Plan, contributions: Sequence[Contribution], terms: Terms, draw: int | None = None
) -> InitialSet:
    """The initial set of the round, drawn by `draw`.

    Raises `QuorumError` where too few contributed; `DataError` where nobody holds a class, unless that is allowed.
    """
    needed = (len(plan.clients) + 1) // 2 if terms.min_clients is None else terms.min_clients
    if sites_in(contributions) < max(needed, 1):
        expected = f"at least {max(needed, 1)} of {len(plan.clients)} clients"
        silent = sorted(set(plan.clients) - {name for one in contributions for name in one.stands_for})
        more = f" and {len(silent) - _MOST_NAMED} more" if len(silent) > _MOST_NAMED else ""
        told = f" (none from {', '.join(silent[:_MOST_NAMED])}{more})" if silent else ""
        fix = f"wait for more contributions{told}, or lower --min-clients"
        raise QuorumError(explain("usable contributions", got=sites_in(contributions), expected=expected, fix=fix))
    initial = initial_set(plan, opened(plan, contributions), draw)
    if initial.missing and not terms.allow_missing:
        names = ", ".join(plan.classes[y] for y in initial.missing)
        raise DataError(missing_classes(plan, names))
    return initial


def missing_classes(plan: Plan, names: str) -> str:
    """The error of classes that are missing from a round: nobody holds them, or too few to send anything of them; under
    a promise of privacy, nothing of them is to be seen through its noise."""
    if plan.privacy is not None:
        fix = "add clients or samples of them, raise epsilon in a new plan, or pass --allow-missing-classes"
        what = "classes that the promise's noise hides (few samples, or none)"
        return explain(what, got=names, expected="none", fix=fix)
    fix = "add a client that holds them, or pass --allow-missing-classes"
    if plan.min_held > 1:
        needed = f"{plan.min_held} samples or more of each (of fewer nothing is sent: plan.min_held)"
        fix = f"add a client that holds {needed}, or pass --allow-missing-classes"
    return explain("classes that nobody holds", got=names, expected="none", fix=fix)
