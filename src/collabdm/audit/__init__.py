"""Trying to find out who was in the data: what a round really reveals, beside what it promises."""

from collabdm.audit.auditing import AuditSpec
from collabdm.audit.of_run import audit_run

__all__ = ["AuditSpec", "audit_run"]
