"""Trying to find out who was in the data: what a round really reveals, beside what it promises."""

from collabdm.audit.auditing import FEWEST_ROUNDS, AuditSpec, audited

__all__ = ["FEWEST_ROUNDS", "AuditSpec", "audited"]
