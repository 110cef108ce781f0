"""The page of several methods on the same data: what `compare` left."""

from collections.abc import Sequence
from pathlib import Path

from collabdm.report.brief import held_by_all, of_comparison
from collabdm.report.ceiling import comparison_rows, is_full
from collabdm.report.charts import Chart, Series, line_chart
from collabdm.report.gallery import gallery
from collabdm.report.heat import Heat, share_heat
from collabdm.report.page import render
from collabdm.report.reading import Metrics, Row, checked
from collabdm.report.result import EXAMPLES, beside, distilled_of, examples_of, plural_in
from collabdm.report.run import data_name, provenance, settings_of
from collabdm.report.sections import partition, setting_rows
from collabdm.report.wording import bytes_text, share, share_tick
from collabdm.storage.files import read_json

__all__ = ["comparison_page"]


def comparison_page(folder: Path, *, real: bool = True) -> bytes:
    """HTML of the comparison in `folder`, with real examples or without; raises `RunFolderError`."""
    rows = comparison_rows(folder)
    tree, text = settings_of(folder)
    runs = {row.method: _metrics(folder / row.method) for row in rows}
    sets = [(row.method, chosen) for row in rows if (chosen := distilled_of(folder / row.method, "distilled"))]
    examples = next((found for row in rows if (found := examples_of(folder / row.method))), None) if real else None
    sets = [(EXAMPLES, examples), *sets] if examples is not None and sets else sets
    known = [run for run in runs.values() if run is not None]
    data = data_name(str(tree.get("dataset", "?")))
    return render(
        "comparison.html",
        title=f"{len(rows)} methods on {data}",
        data=data,
        rows=rows,
        brief=of_comparison(
            rows,
            ipc=_whole(tree.get("ipc")),
            plural=plural_in(sets),
            held=max((held_by_all(run) for run in known), default=0),
        ),
        best=_best(rows),
        beside=beside(sets),
        ipc=tree.get("ipc"),
        recipes=list(dict.fromkeys(row.protocol for row in rows if row.protocol)),
        networks=max((len(run.accuracy.networks) for run in known if run.accuracy), default=0),
        chart=_against_bytes(rows),
        per_class=_per_class(rows, runs),
        plural=plural_in(sets),
        gallery=gallery(sets, of_class=2) if sets else None,
        partition=next((heat for run in known if run.rounds and (heat := partition(run))), None),
        settings=setting_rows(tree),
        config_text=text,
        command="collabdm compare --config config.toml --out runs/again --methods " + ",".join(r.method for r in rows),
        provenance=provenance(known[0].versions, known[0].hardware) if known else [],
    )


def _best(rows: Sequence[Row]) -> frozenset[str]:
    """Names of the methods that no other is above, as accuracies are shown; all data in one place are the ceiling."""
    shown = {row.method: round(100 * row.accuracy_mean, 1) for row in rows if not is_full(row.method)}
    top = max(shown.values(), default=0.0)
    return frozenset(name for name, value in shown.items() if value == top) if len(shown) > 1 else frozenset()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _metrics(folder: Path) -> Metrics | None:
    path = folder / "metrics.json"
    return checked(Metrics, read_json(path), str(path)) if path.is_file() else None


def _against_bytes(rows: tuple[Row, ...]) -> Chart | None:
    """Accuracy against what each client sends, of the methods that send anything."""
    sent = [row for row in rows if row.bytes_up > 0]
    if len(sent) < 2:
        return None
    told = "; ".join(f"{row.method} {share(row.accuracy_mean)} at {bytes_text(row.bytes_up)}" for row in sent)
    return line_chart(
        [
            Series(
                name="",
                points=[(row.bytes_up, row.accuracy_mean) for row in sent],
                spread=[row.accuracy_std for row in sent],
                labels=[row.method for row in sent],
                look="dots",
            )
        ],
        summary=f"Accuracy against bytes up: {told}.",
        x_label="bytes up, each client",
        y_label="accuracy",
        x_text=bytes_text,
        y_text=share_tick,
        log_x=len({row.bytes_up for row in sent}) > 1,
    )


def _per_class(rows: tuple[Row, ...], runs: dict[str, Metrics | None]) -> Heat | None:
    found = {row.method: run.accuracy.per_class for row in rows if (run := runs[row.method]) and run.accuracy}
    classes = list(next(iter(found.values()), {}))
    alike = {method: values for method, values in found.items() if list(values) == classes}
    if not classes or len(alike) < 2:
        return None
    return share_heat([list(values.values()) for values in alike.values()], list(alike), classes)
