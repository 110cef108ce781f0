"""`collabdm plan` and `contribute`: one round between real sites, by files."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from collabdm.cli.folders import check_new
from collabdm.cli.options import Force, Json, MaxUpload, PlanFile, Quiet, bytes_of, configured, listed
from collabdm.cli.output import bytes_text, print_facts, print_json
from collabdm.cli.progress import progress
from collabdm.errors import ConfigError, explain

if TYPE_CHECKING:
    from collabdm.config import Config
    from collabdm.data import Preset, Samples
    from collabdm.protocol import Contribution, Plan

__all__ = ["contribute", "plan", "read_plan"]


@configured()
def plan(
    config: "Config",
    out: Annotated[Path, Option(help="The plan file to write.")],
    classes: Annotated[str | None, Option(help='Class names a,b,"c, d"; with --shape, no data is needed.')] = None,
    shape: Annotated[str | None, Option(help="Shape of a sample; images: channels x height x width, 3x32x32.")] = None,
    max_upload: MaxUpload = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Server: write the plan that every client gets.

    A data set with known facts (mnist, cifar10, ...) need not be at hand; of images of flows, the flows.json of any
    site will do (--dataset flows.json); of a table, its --schema and --classes; of any other, give --classes and
    --shape, or a part of it to read them from.
    """
    from collabdm.planning import make_plan
    from collabdm.protocol import encode_plan, plan_digest
    from collabdm.rounds.upload import fitted_upload
    from collabdm.simulation.choices import augmentation_text, fitting_method
    from collabdm.storage.files import write_atomically
    from collabdm.teacher import check_rule

    check_new(out, force=force)
    preset, clients = _declared(config, classes, shape), _clients(config)
    upload = None
    if max_upload is not None:
        config, upload = fitted_upload(config, preset, clients, bytes_of(max_upload, "--max-upload"))
    made = make_plan(config, clients=clients, preset=preset)
    check_rule(made, config.server)
    _, too_small = fitting_method(config, preset)
    content = encode_plan(made)
    write_atomically(out, content)
    facts = {"plan": plan_digest(made), "clients": list(made.clients), "seeds": made.seeds, "bytes": len(content)}
    facts |= {"augmentation": augmentation_text(config, preset).removeprefix("augmentation: ")}
    for line in filter(None, (too_small, upload)):
        print(line, file=sys.stderr)
    if json:
        print_json(facts | {"augment": list(made.augment), "file": str(out)})
    else:
        print_facts(f"plan: {out}", facts)


@configured("dataset", "device", "engine", "label", "ignore")
def contribute(
    config: "Config",
    plan_file: PlanFile,
    client: Annotated[str, Option(help="This client's name in the plan.")],
    out: Annotated[Path, Option(help="The contribution file to write (.safetensors).")],
    dataset: str | None = None,
    shard: Annotated[
        bool, Option("--shard", help="Use this client's part in `simulate`; give its settings: --config, --set.")
    ] = False,
    cache: Annotated[
        Path | None, Option(help="Keep work and result here: an interrupted or repeated request goes on from it.")
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Client: answer a plan with one small file.

    What is sent of this site's data: per seed and class the mean embedding of a batch, how many samples of each class
    are held, and a few locally distilled ones of each. Nothing is sent of a class of which fewer are held than the
    plan's min_held. The folder --cache holds more than what is sent: keep it here.
    """
    from collabdm.data import load_samples
    from collabdm.engine import tune_allocator
    from collabdm.planning import engine_for
    from collabdm.privacy import few_text
    from collabdm.protocol import decode_contribution
    from collabdm.rounds.contributing import cached_contribution
    from collabdm.simulation.sharing import shard_of
    from collabdm.storage.files import write_atomically

    if dataset is None and not shard:
        raise ConfigError(explain("--dataset", got="none", expected="this site's data", fix="pass --dataset SOURCE"))
    check_new(out, force=force)
    asked = read_plan(plan_file)
    if shard:
        _check_shared(config, asked)
    samples: Samples = (
        shard_of(config, client)
        if shard
        else load_samples(config.dataset, modality=asked.sample.kind, options=config.reading, sample=asked.sample)
    )
    samples = samples.with_classes(asked.classes)
    tune_allocator()
    with _alone_in(cache, asked, client), progress(quiet=quiet) as report:
        engine = engine_for(config, asked, report=report)
        content = cached_contribution(asked, client, samples, cache, engine=engine, report=report)
    # As the server will: what it would refuse is not sent, and a cached file may have been damaged.
    made = decode_contribution(content, asked)
    write_atomically(out, content, private=True)
    facts = _sent(made, content, asked, samples)
    if json:
        print_json(facts | {"file": str(out)})
    else:
        few = {"left_out": few_text(facts["left_out"]), "bytes": f"{len(content)} ({bytes_text(len(content))})"}
        print_facts(f"contribution: {out}", facts | few)


def _sent(made: "Contribution", content: bytes, plan: "Plan", samples: "Samples") -> dict[str, Any]:
    """What of the site's samples is in the contribution."""
    from collabdm.privacy import too_few
    from collabdm.protocol import bytes_by_part, clipped_share

    return {
        "client": made.client,
        "samples": len(samples),
        "classes": len(made.classes_held),
        "left_out": too_few(samples, plan.min_held),
        plan.sample.plural: len(made.labels),
        "clipped": clipped_share(content),
        "bytes": len(content),
        "parts": bytes_by_part(content),
    }


@contextmanager
def _alone_in(cache: Path | None, plan: "Plan", client: str) -> Iterator[None]:
    """One process at a time makes this client's answer; others may use the folder for theirs."""
    from collabdm.protocol import plan_digest
    from collabdm.storage.files import private_folder
    from collabdm.storage.locks import locked

    if cache is None:
        yield
        return
    key = hashlib.sha256(f"{plan_digest(plan)} {client}".encode()).hexdigest()[:16]
    place = private_folder(cache) / f"at-work-{key}"
    with locked(place):
        yield
    # A process that was killed had left it.
    with suppress(OSError):
        place.rmdir()


def read_plan(path: Path) -> "Plan":
    """The plan in a file. Raises `PlanError`."""
    from collabdm.protocol import decode_plan
    from collabdm.rounds.folder import plan_bytes

    return decode_plan(plan_bytes(path), name=f"plan {path}")


def _declared(config: "Config", classes: str | None, shape: str | None) -> "Preset":
    """The facts of the data: as declared, as known of the data set, or read from its train part."""
    from collabdm.data import PRESETS, load_dataset, preset_named
    from collabdm.data.flows.facts import flow_preset
    from collabdm.modalities import MODALITIES

    if config.data.schema_file is not None and (classes is not None or "dataset" not in config.model_fields_set):
        return _by_schema(config, classes, shape)
    flows = flow_preset(Path(config.dataset).expanduser()) if config.modality in ("images", "tables") else None
    if classes is not None or shape is not None:
        if classes is None or shape is None:
            got = "--shape alone" if classes is None else "--classes alone"
            raise ConfigError(explain("declared data", got=got, expected="--classes and --shape", fix="pass both"))
        modality, names = MODALITIES[config.modality], tuple(listed(classes))
        size, known = modality.shape_in(shape), preset_named(config.dataset)
        if flows is not None:
            if flows.shape != size:
                got, expected = (
                    f"{shape} with --dataset {config.dataset}",
                    f"{'x'.join(map(str, flows.shape))}, as there",
                )
                raise ConfigError(explain("--shape", got=got, expected=expected, fix="drop --shape and --classes"))
            return replace(flows, classes=names)
        if (
            config.modality == "images"
            and known is not None
            and known.shape == size
            and set(names) <= set(known.classes)
        ):
            return replace(known, classes=names)
        return modality.preset_of(config.dataset, size, names)
    if config.modality == "images" and config.dataset in PRESETS and PRESETS[config.dataset].classes:
        return PRESETS[config.dataset]
    return (
        flows
        or load_dataset(config.dataset, splits=("train",), modality=config.modality, options=config.reading).preset
    )


def _by_schema(config: "Config", classes: str | None, shape: str | None) -> "Preset":
    """The facts of a table that nobody needs to have at hand: its columns are in the schema."""
    from collabdm.data.tabular.preset import table_preset
    from collabdm.data.tabular.schema import read_schema

    if shape is not None:
        raise ConfigError(explain("--shape", got=shape, expected="none beside --schema", fix="leave it out"))
    schema = read_schema(str(config.data.schema_file))
    if classes is None and not schema.classes:
        fix = "pass --classes a,b,c, or --dataset FILE to read them from"
        raise ConfigError(explain("--schema", got="no --classes", expected="the names of the classes", fix=fix))
    if config.data.label is not None:
        schema = schema.model_copy(update={"label": config.data.label})
    return table_preset(
        Path(str(config.data.schema_file)).stem, schema, schema.classes if classes is None else tuple(listed(classes))
    )


def _check_shared(config: "Config", plan: "Plan") -> None:
    """Refuse settings under which other clients would share the data than the plan's, or draw other shares."""
    names, spec = tuple(_clients(config)), config.partition
    reserves = spec.kind == "dirichlet-reserved" and spec.reserve is None
    wrong = {
        "partition.clients": (_several(names), _several(plan.clients), names != plan.clients),
        "seed": (config.seed, plan.seed, config.seed != plan.seed),
        "ipc": (config.ipc, plan.ipc, reserves and config.ipc != plan.ipc),
    }
    settings = {name: (got, asked) for name, (got, asked, differs) in wrong.items() if differs}
    if settings:
        raise ConfigError(
            explain(
                "--shard",
                got=", ".join(f"{name} = {got}" for name, (got, _) in settings.items()),
                expected=f"the plan's: {', '.join(f'{name} = {asked}' for name, (_, asked) in settings.items())}",
                fix="give the simulation's settings, also those of its partition: --config RUN/config.toml, or --set",
            )
        )


def _several(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''} ({len(names)})"


def _clients(config: "Config") -> list[str]:
    """The names that `simulate` would use, without its data where they do not come from a column."""
    from collabdm.data import client_names
    from collabdm.methods import METHODS, method_named
    from collabdm.simulation.sharing import clients_of

    method, spec = method_named(config.method), config.partition
    if method.source != "round":
        rounds = ", ".join(name for name, other in METHODS.items() if other.source == "round")
        raise ConfigError(explain("method of a plan", got=config.method, expected=f"one of {rounds}", fix="choose one"))
    if isinstance(spec.clients, int) and spec.kind == "by-column" and not method.central:
        return clients_of(config)
    alone = method.central or (isinstance(spec.clients, int) and spec.kind == "single")
    return client_names(1 if alone else spec.clients)
