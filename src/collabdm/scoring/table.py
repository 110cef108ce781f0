"""Scores as tables: rows of text for a terminal, and one page of Markdown that can go into a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.errors import markdown_text
from collabdm.evaluation.markdown import markdown

__all__ = ["accuracy_rows", "attack_rows", "page", "score_rows"]

Rows = tuple[Sequence[str], Sequence[Sequence[str]]]
"""A header, and lines of as many cells."""

_SCORES = (("LRS, hard labels", "lrs_hard", "lrs"), ("LRS, soft labels", "lrs_soft", "lrs"), ("ARS", "ars", "ars"))
_TERMS = (("HLR", "lrs_hard", "hlr"), ("IOR, hard", "lrs_hard", "ior"), ("IOR, soft", "lrs_soft", "ior"))


def accuracy_rows(told: Mapping[str, Any]) -> Rows:
    """Accuracies in percent: a row for each training set, a column for each kind of network."""
    kinds = list(told["scores"])
    rows = [
        [name, *(_percent(by_kind[kind]) if kind in by_kind else "" for kind in kinds)]
        for name, by_kind in told["accuracy"].items()
    ]
    return ["trained on", *kinds], rows


def score_rows(told: Mapping[str, Any]) -> Rows:
    """DD-Ranking's scores and their terms, in percent; columns without any are left out."""
    columns = [
        column for column in (*_SCORES, *_TERMS) if any(column[1] in scores for scores in told["scores"].values())
    ]
    rows = [
        [kind, *(_percent(scores[of][part]) if of in scores else "" for _, of, part in columns)]
        for kind, scores in told["scores"].items()
        if scores
    ]
    return ["network", *(name for name, _, _ in columns)], rows


def attack_rows(told: Mapping[str, Any]) -> Rows:
    """Accuracies in percent on attacked test images: a row for each network and set, a column for each attack."""
    attacks = list(dict.fromkeys(a for nets in told.get("attacks", {}).values() for one in nets.values() for a in one))
    rows = [
        [f"{kind}, {name}", *(f"{100 * found[attack]:.1f}" for attack in attacks)]
        for name, by_kind in told.get("attacks", {}).items()
        for kind, found in by_kind.items()
    ]
    return ["network, trained on", *attacks], rows


def page(told: Mapping[str, Any]) -> str:
    """All of it as Markdown, with the protocol by which every number was got."""
    own, data = told["set"], told["data"]
    lines = [f"# Scores of {markdown_text(own['source'])}", ""]
    lines += [
        f"{own['size']} {own['samples']}, judged on {markdown_text(data['dataset'])} ({data['test']} to test on)."
    ]
    for title, (header, rows) in (
        ("Test accuracy, %", accuracy_rows(told)),
        ("Scores of DD-Ranking, %", score_rows(told)),
        ("Test accuracy under attack, %", attack_rows(told)),
    ):
        if rows:
            lines += ["", f"## {title}", "", markdown(header, rows)]
    lines += ["", "## How", ""]
    lines += [f"- {markdown_text(line)}." for line in (*told["how"], *own["assumed"])]
    return "\n".join(lines) + "\n"


def _percent(spread: Mapping[str, Any]) -> str:
    mean = f"{100 * spread['mean']:.1f}"
    return mean if len(spread["runs"]) < 2 else f"{mean} ± {100 * spread['std']:.1f}"
