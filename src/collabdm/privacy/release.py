"""The one step through which a site's sums pass before anything of them leaves the site."""

from collabdm.matching.sums import Sums

__all__ = ["release"]


def release(sums: Sums) -> Sums:
    """The sums as they may leave the site. Today they leave as they are.

    Clipping each sample's share, adding noise and masking all belong here, and nowhere else: whatever is computed from
    what this step returns reveals no more than it does. The local set is no sum and does not pass through here.
    """
    return sums
