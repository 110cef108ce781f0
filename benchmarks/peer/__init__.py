"""The rows of `peers.py`, a module each: ours against what a user would otherwise take."""
