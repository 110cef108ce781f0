"""`collabdm plan`: what every site is asked for; and reading it again."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from collabdm.cli.folders import check_new
from collabdm.cli.key_files import read_public
from collabdm.cli.options import Force, Json, MaxUpload, bytes_of, configured, listed
from collabdm.cli.output import print_facts, print_json, print_next
from collabdm.errors import ConfigError, explain

if TYPE_CHECKING:
    from collabdm.config import Config
    from collabdm.data import Preset
    from collabdm.protocol import Plan

__all__ = ["clients_named", "names_text", "plan", "read_plan"]


@configured(
    *("dataset", "method", "ipc", "seed", "partition", "clients", "modality", "label", "schema", "site", "ignore"),
    *("test_fraction", "group"),
    elsewhere=("repeats", "device", "engine", "beta", "protocol", "networks"),
    where="a plan says what sites are asked for; how it is computed and judged is each party's own choice",
)
def plan(
    config: "Config",
    out: Annotated[Path, Option(help="The plan file to write.")],
    classes: Annotated[str | None, Option(help='Class names a,b,"c, d"; with --shape, no data is needed.')] = None,
    shape: Annotated[str | None, Option(help="Shape of a sample; images: channels x height x width, 3x32x32.")] = None,
    max_upload: MaxUpload = None,
    keys: Annotated[
        list[Path] | None, Option(help="A site's public key (.pub), or a folder of them; repeatable. Sums are masked.")
    ] = None,
    threshold: Annotated[
        int | None, Option(min=2, help="With --keys: sites needed for a sum; more than half by default.")
    ] = None,
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
    public = read_public(keys) if keys else None
    config = _masked(config, public, threshold)
    preset, clients = _declared(config, classes, shape), clients_named(config)
    upload = None
    if max_upload is not None:
        config, upload = fitted_upload(config, preset, clients, bytes_of(max_upload, "--max-upload"))
    made = make_plan(config, clients=clients, preset=preset, keys=public)
    check_rule(made, config.server)
    _, too_small = fitting_method(config, preset)
    content = encode_plan(made)
    write_atomically(out, content)
    facts = {"plan": plan_digest(made), "clients": list(made.clients), "seeds": made.seeds, "bytes": len(content)}
    facts |= {"augmentation": augmentation_text(config, preset).removeprefix("augmentation: ")}
    alone = (
        f"the plan has one class alone, {made.classes[0]}, so nothing can be told apart: name the classes of all sites"
    )
    for line in filter(None, (too_small, upload, alone if len(made.classes) == 1 else None)):
        print(line, file=sys.stderr)
    if json:
        print_json(facts | {"augment": list(made.augment), "file": str(out)})
    else:
        print_facts(f"plan: {out}", facts)
        print_next(f"at each of {names_text(made.clients)}, with {out.name}", *_next_steps(made, out))


def _next_steps(made: "Plan", out: Path) -> tuple[str, str]:
    """What a site types, the first one's name standing for all."""
    name = made.clients[0]
    words = ["collabdm", "contribute", out.name, "--client", name]
    own = " --key KEY" if made.masks is not None else ""
    own += " --unit-column COLUMN" if made.privacy is not None and made.privacy.unit == "group" else ""
    asked = f"{shlex.join(words)} --dataset DATA{own}"
    answer = f"{asked} --out {shlex.quote(f'{name}.safetensors')}"
    return f"{asked} --check", f"{answer}, and the file that it writes goes back to you"


def read_plan(path: Path) -> "Plan":
    """The plan in a file. Raises `PlanError`."""
    from collabdm.protocol import decode_plan
    from collabdm.rounds.folder import plan_bytes

    return decode_plan(plan_bytes(path), name=f"plan {path}")


def _masked(config: "Config", public: dict[str, str] | None, threshold: int | None) -> "Config":
    """`config` for the sites whose public keys are given, which also are the clients where none are named."""
    from collabdm.protocol import MaskSettings

    if public is None:
        if threshold is not None:
            got, fix = "--threshold without --keys", "pass the sites' public keys"
            raise ConfigError(explain("masks", got=got, expected="both", fix=fix))
        return config
    asked: dict[str, Any] = {"masks": config.plan.masks or MaskSettings()}
    if threshold is not None:
        asked["masks"] = MaskSettings.model_validate({"threshold": threshold})
    named = config.partition
    if isinstance(named.clients, int) and named.kind != "by-column":
        named = named.model_copy(update={"clients": tuple(sorted(public))})
    return config.model_copy(update={"partition": named, "plan": config.plan.model_copy(update=asked)})


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


def names_text(names: Sequence[str]) -> str:
    """The first of them, and how many there are."""
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''} ({len(names)})"


def clients_named(config: "Config") -> list[str]:
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
