"""Whether the masks of contributions cancel in their sum: whose are missing, and what would help."""

from collections.abc import Sequence

from collabdm.errors import ContributionError, QuorumError, explain
from collabdm.privacy.mask_openings import too_late
from collabdm.protocol import Contribution, Plan

__all__ = ["check_complete"]

_MOST_NAMED = 20


def check_complete(plan: Plan, contributions: Sequence[Contribution]) -> None:
    """Raise `QuorumError` where fewer sites contributed than the plan's threshold, or masks of a missing site are not
    open, saying which files would open them; `ContributionError` where masks of a site that contributed were opened."""
    if plan.masks is None or not contributions:
        return
    sites = {name: one for one in contributions for name in one.stands_for}
    for one in contributions:
        for name in one.unmasked:
            if name in sites:
                raise ContributionError(too_late(name, one.client))
    if len(sites) < plan.masks.threshold:
        got, fix = f"{len(sites)} ({_several(sorted(sites))})", "wait for more contributions, or hold a new round"
        expected = f"at least {plan.masks.threshold} (plan.masks.threshold)"
        raise QuorumError(explain("sites that contributed", got=got, expected=expected, fix=fix))
    missing = [name for name in plan.clients if name not in sites]
    lacking = {
        name: wanting
        for name, one in sorted(sites.items())
        if (wanting := [other for other in missing if other not in one.unmasked])
    }
    if lacking:
        raise QuorumError(_lacking(missing, lacking))


def _lacking(missing: Sequence[str], lacking: dict[str, list[str]]) -> str:
    """Which files there are not, and the command that makes them."""
    options = " ".join(f"--missing {_quoted(name)}" for name in missing[:_MOST_NAMED])
    made = f"collabdm open-masks plan.json --client NAME --key FILE {options} --out NAME.opening"
    where = "in the folder of the contributions"
    return explain(
        f"masks of {_several(missing)}, of which there is no contribution",
        got=f"no opening by {_several(list(lacking))}",
        expected=f"one of every site that contributed, {where}",
        fix=f"each of them runs `{made}` and sends what it writes; or wait for the missing contribution",
    )


def _several(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _quoted(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else f'"{name}"'
