"""The one step through which a site's sums pass before anything of them leaves the site."""

from collabdm.matching.sums import Sums

__all__ = ["release"]


def release(sums: Sums) -> Sums:
    """The sums as they may leave the site: as they are, since the plan promises nothing.

    Under `plan.privacy` a site makes other sums, bounded for every sample (`bounded_sums`), and what leaves is those
    with noise (`noisy`) and masks (`masked`). Whatever is computed from what either way returns reveals no more than it
    does. The local set is no sum and does not pass through here.
    """
    return sums
