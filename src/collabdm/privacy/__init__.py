"""What stands between what a site has summed and what leaves it."""

from collabdm.privacy.release import release

__all__ = ["release"]
