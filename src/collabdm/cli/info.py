"""`collabdm info`: what a file or folder is, and the facts about it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Argument

from collabdm.cli.info_masks import key_or_opening, promised, summed
from collabdm.cli.info_schema import is_schema, schema_facts
from collabdm.cli.options import Json
from collabdm.cli.output import print_facts, print_json
from collabdm.errors import ContributionError, DataError, RunFolderError, explain
from collabdm.storage.files import read_json
from collabdm.storage.reading import opened_regular, strict_json

__all__ = ["info"]

# Of a contribution; the other tensors are its local set, called as its modality calls samples.
_NOT_SAMPLES = ("held", "labels", "means", "gram")
# Bytes of a number, of the types that the Gram matrix has.
_GRAM_TYPES = {"U8": 1, "F16": 2, "F32": 4}


def info(
    path: Annotated[Path, Argument(help="A plan, contribution, distilled set, classifier or run.", show_default=False)],
    json: Json = False,
) -> None:
    """Say what a file or folder is, with key facts."""
    facts = _described(path)
    if json:
        print_json(facts)
    else:
        print_facts(f"{facts['kind']}: {path}", {name: value for name, value in facts.items() if name != "kind"})


def _described(path: Path) -> dict[str, Any]:
    got = f"a file whose name ends in {path.suffix or 'nothing known'}" if path.exists() else "nothing there"
    if path.is_dir():
        marks = {
            "distilled.safetensors": _distilled,
            "comparison.json": _comparison,
            "metrics.json": _run,
            "config.toml": _unfinished,
        }
        got = f"a folder that holds none of {', '.join(marks)}"
        for mark, describe in marks.items():
            if (path / mark).is_file():
                return describe(path)
    elif path.suffix == ".json":
        return schema_facts(path) if is_schema(path) else _plan(path)
    elif path.suffix == ".safetensors":
        return _tensors(path)
    elif path.suffix in (".opening", ".pub", ".key") and path.exists():
        return key_or_opening(path)
    raise DataError(
        explain(
            f"path {path}",
            got=got,
            expected="a plan or schema (.json), a contribution, distilled set or classifier (.safetensors), a run"
            " folder, or a key or opening (.key, .pub, .opening)",
            fix="check the path",
        )
    )


def _plan(path: Path) -> dict[str, Any]:
    from collabdm.cli.plan import read_plan
    from collabdm.networks import spelled_out
    from collabdm.protocol import plan_digest

    plan = read_plan(path)
    return {
        "kind": "plan",
        "digest": plan_digest(plan),
        "clients": list(plan.clients),
        "classes": list(plan.classes),
        "modality": plan.sample.kind,
        "shape": list(plan.sample.shape),
        "ipc": plan.ipc,
        "seeds": plan.seeds,
        "batch": plan.batch,
        "most_held": plan.most_held,
        "min_held": plan.min_held,
        "network": plan.network.name,
        "encoder": spelled_out(plan.network),
        "tiles": plan.tiles,
        "augment": list(plan.augment),
        "statistics": plan.statistics,
        "features": spelled_out(plan.features) if plan.features else None,
        "gram_bits": plan.gram_bits,
        "encoding": plan.encoding,
        **promised(plan),
        "bytes": path.stat().st_size,
    }


def _tensors(path: Path) -> dict[str, Any]:
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with opened_regular(path), safe_open(path, "np") as file:
            metadata = strict_json((file.metadata() or {}).get("collabdm", "null"))
            shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if isinstance(metadata, dict) and metadata.get("format") == "collabdm-classifier":
                return _classifier(path)
            if not isinstance(metadata, dict) or metadata.get("format") != "collabdm-contribution":
                return _distilled(path)
            if "sums" in shapes:
                return summed(metadata, shapes, path.stat().st_size)
            # Before a tensor is made: numpy has no word for some of the types that a file may name.
            parts = (name.partition(".")[0] for name in sorted(shapes))
            plural = next((part for part in parts if part not in _NOT_SAMPLES), "samples")
            shares = f"{plural}.clipped"
            for name, expected in (("held", "I64"), (shares, "F32")):
                if name in shapes and (got := file.get_slice(name).get_dtype()) != expected:
                    raise ValueError(f"{name} of {got}")
            held = np.asarray(file.get_tensor("held"))
            wire = file.get_slice("means").get_dtype()
            types = {name: file.get_slice(name).get_dtype() for name in shapes if name.startswith("gram.")}
            clipped = file.get_tensor(shares) if shares in shapes else None
            if clipped is not None and not (clipped.size and np.isfinite(clipped).all()):
                raise ValueError(f"no shares in {shares}")
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        got = (isinstance(error, OSError) and error.strerror) or f"a damaged or unfinished file ({str(error)[:200]})"
        raise ContributionError(
            explain(f"file {path}", got=got, expected="a whole safetensors file of CollabDM", fix="copy it again")
        ) from None
    return {
        "kind": "contribution",
        "client": _text(metadata.get("client")),
        "plan": _text(metadata.get("plan")),
        "samples": int(held.sum()),
        "samples_per_class": held.tolist(),
        "means": shapes.get("means"),
        "gram_bytes": _gram_bytes(shapes, types),
        plural: next(iter(shapes.get("labels", [])), None),
        "clipped": None if clipped is None else float(clipped.mean()),
        "dtype": wire,
        "fingerprint": _text(metadata.get("fingerprint")),
        "bytes": path.stat().st_size,
    }


def _gram_bytes(shapes: Mapping[str, list[int]], types: Mapping[str, str]) -> int | None:
    """Of the tensors of the Gram matrix, whose types are `types`; None where there is none."""
    return sum(math.prod(shapes[name]) * _GRAM_TYPES.get(kind, 0) for name, kind in types.items()) if types else None


def _text(value: object) -> str | None:
    """A stranger's value, where it is what it should be."""
    return value if isinstance(value, str) else None


def _distilled(path: Path) -> dict[str, Any]:
    from collabdm.distilled.card import encoder_text
    from collabdm.distilled.set import load

    distilled = load(path)
    file = path / "distilled.safetensors" if path.is_dir() else path
    return {
        "kind": "distilled set",
        "method": distilled.method,
        "classes": list(distilled.classes),
        "modality": distilled.sample.kind,
        distilled.sample.plural: len(distilled),
        "per_class": distilled.counts().tolist(),
        "shape": list(distilled.samples.shape[1:]),
        "tiles": distilled.tiles,
        "training_samples": len(distilled) * distilled.tiles**2,
        "targets": None if distilled.targets is None else list(distilled.targets.shape),
        "augment": list(distilled.augment),
        "encoder": encoder_text(distilled.facts),
        "facts": dict(distilled.facts),
        "bytes": file.stat().st_size,
    }


def _classifier(path: Path) -> dict[str, Any]:
    from collabdm.classifiers.file import load_classifier
    from collabdm.classifiers.flow_settings import settings_of
    from collabdm.data.flows.images import ImageSettings
    from collabdm.networks import spelled_out

    classifier = load_classifier(path)
    spec, flows = classifier.card, None
    if spec.flows is not None:
        settings = settings_of(classifier)
        form = (
            {
                "flows_per_image": settings.flows_per_image,
                "layout": settings.layout,
                "window": settings.window,
            }
            if isinstance(settings, ImageSettings)
            else {"columns": len(settings.features)}
        )
        flows = {
            "schema": settings.flow_schema.name,
            **form,
            "leaking_columns": settings.keep_leaking,
            "digest": settings.digest(),
        }
    return {
        "kind": "classifier",
        "digest": classifier.digest(),
        "network": spec.network.name,
        "architecture": spelled_out(spec.network),
        **({"beside": spelled_out(spec.beside)} if spec.beside else {}),
        **({"views": list(spec.views)} if spec.views else {}),
        "classes": list(spec.classes),
        "shape": list(spec.sample.shape),
        "parameters": sum(value.numel() for value in classifier.parameters.values()),
        "flows": flows,
        "facts": spec.facts,
        "bytes": path.stat().st_size,
    }


def _run(path: Path) -> dict[str, Any]:
    metrics = read_json(path / "metrics.json", dict)
    accuracy = metrics.get("accuracy")
    if accuracy and not _has_both(accuracy):
        raise _damaged(path / "metrics.json", str(metrics), "what a run measured")
    wanted = ("method", "dataset", "ipc", "seed", "bytes", "seconds", "topped_up", "skipped", "missing", "refused")
    wanted += ("promise", "insecure_noise")
    return {
        "kind": "run",
        **({"accuracy": {name: accuracy[name] for name in ("mean", "std")}} if accuracy else {}),
        **({"protocol": told} if (told := _recipe(metrics.get("protocol"))) else {}),
        **{name: metrics[name] for name in wanted if name in metrics},
    }


def _recipe(told: object) -> str:
    from collabdm.training.recipes import recipe_text

    return recipe_text(told) if isinstance(told, dict) else ""


def _has_both(accuracy: object) -> bool:
    return isinstance(accuracy, dict) and {"mean", "std"} <= accuracy.keys()


def _unfinished(path: Path) -> dict[str, Any]:
    from collabdm.config import load_config

    config = load_config(file=path / "config.toml")
    return {"kind": "unfinished run", "method": config.method, "dataset": config.dataset, "ipc": config.ipc}


def _comparison(path: Path) -> dict[str, Any]:
    return {"kind": "comparison", "rows": read_json(path / "comparison.json", list)}


def _damaged(path: Path, got: str, expected: str) -> RunFolderError:
    return RunFolderError(explain(f"{path}", got=got[:200], expected=expected, fix="run it again"))
