"""One held round: answering, receiving, distilling, and clients that come and go afterwards."""

from collabdm.rounds.hold import Reception, hold

__all__ = ["Reception", "hold"]
