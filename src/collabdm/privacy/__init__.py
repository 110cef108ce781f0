"""What stands between what a site holds or has summed and what leaves it."""

from collabdm.privacy.held import enough_held, few_text, too_few
from collabdm.privacy.release import release

__all__ = ["enough_held", "few_text", "release", "too_few"]
