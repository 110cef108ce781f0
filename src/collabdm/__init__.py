"""One-shot collaborative data distillation."""
