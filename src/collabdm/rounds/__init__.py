"""One held round: answering, receiving, distilling, and clients that come and go afterwards."""

from collabdm.rounds.holding import Reception, hold

__all__ = ["Reception", "hold"]
