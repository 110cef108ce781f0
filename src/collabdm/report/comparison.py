"""The page of several methods on the same data: what `compare` left."""

from pathlib import Path

from collabdm.report.charts import Chart, Series, line_chart
from collabdm.report.gallery import gallery
from collabdm.report.heat import Heat, share_heat
from collabdm.report.page import render
from collabdm.report.reading import Metrics, Row, checked
from collabdm.report.result import distilled_of, plural_in
from collabdm.report.run import data_name, provenance, settings_of
from collabdm.report.sections import partition, setting_rows
from collabdm.report.wording import bytes_text, share, share_tick
from collabdm.storage.files import read_json

__all__ = ["comparison_page"]


def comparison_page(folder: Path) -> bytes:
    """HTML of the comparison in `folder`; raises `RunFolderError`."""
    path = folder / "comparison.json"
    rows = checked(tuple[Row, ...], read_json(path), str(path))
    tree, text = settings_of(folder)
    runs = {row.method: _metrics(folder / row.method) for row in rows}
    sets = [(row.method, chosen) for row in rows if (chosen := distilled_of(folder / row.method, "distilled"))]
    known = [run for run in runs.values() if run is not None]
    data = data_name(str(tree.get("dataset", "?")))
    return render(
        "comparison.html",
        title=f"{len(rows)} methods on {data}",
        data=data,
        rows=rows,
        best=max(rows, key=lambda row: row.accuracy_mean, default=None),
        widest=max((row.accuracy_mean for row in rows), default=1.0) or 1.0,
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
