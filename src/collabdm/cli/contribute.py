"""`collabdm contribute`: a site answers a plan."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from collabdm.cli.course import ANSWER
from collabdm.cli.folders import check_new
from collabdm.cli.key_files import check_whose
from collabdm.cli.options import Force, Json, PlanFile, Quiet, configured
from collabdm.cli.output import bytes_text, dearer_text, print_facts, print_json, print_next
from collabdm.cli.plan import clients_named, names_text, read_plan
from collabdm.cli.progress import progress, say_reading
from collabdm.cli.site_cache import site_cache
from collabdm.cli.site_check import checked_site
from collabdm.errors import ConfigError, explain, unknown_name

if TYPE_CHECKING:
    import numpy as np

    from collabdm.client import SiteOptions
    from collabdm.config import Config
    from collabdm.data import Samples
    from collabdm.privacy.keys import SiteKey
    from collabdm.protocol import Contribution, Plan

__all__ = ["contribute"]


Shard = Annotated[
    bool, Option("--shard", help="Use this client's part in `simulate`; give its settings: --config, --set.")
]
UnitColumn = Annotated[
    str | None,
    Option(metavar="COLUMN", help="Where the plan protects groups: the column that says whose each sample is."),
]
NoiseSeed = Annotated[
    int | None, Option(min=0, help="Make the noise from this number, with which it can be removed: for studies only.")
]
Cache = Annotated[
    Path | None, Option(help="Keep work and result here; by default the work only, until the answer is written.")
]
NoCache = Annotated[bool, Option("--no-cache", help="Keep nothing on the way: after Ctrl-C it begins anew.")]
Check = Annotated[
    bool, Option("--check", help="Only say whether the data fit, how long it will take and what it will send.")
]


@configured("dataset", "device", "engine", "label", "ignore")
def contribute(
    config: "Config",
    plan_file: PlanFile,
    client: Annotated[str, Option(help="This client's name in the plan.")],
    out: Annotated[Path | None, Option(help="The contribution file to write (.safetensors).")] = None,
    check: Check = False,
    dataset: str | None = None,
    shard: Shard = False,
    key: Annotated[Path | None, Option(help="This site's private key, where the plan has masks.")] = None,
    unit_column: UnitColumn = None,
    insecure_noise_seed: NoiseSeed = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Client: answer a plan with one small file.

    What is sent of this site's data: per seed and class the mean embedding of a batch, how many samples of each class
    are held, and a few locally distilled ones of each. Nothing is sent of a class of which fewer are held than the
    plan's min_held. Under a promise of privacy only noisy sums are sent.

    What is kept on the way, so that an interrupted answer goes on, is more than what is sent, and stays here: in
    --cache, or in the user's cache (~/.cache/collabdm/answers) until the answer is written.
    """
    from collabdm.engine import tune_allocator
    from collabdm.planning import engine_for
    from collabdm.protocol import decode_contribution
    from collabdm.rounds.contributing import cached_contribution
    from collabdm.rounds.key_use import check_answer, record_answer
    from collabdm.storage.files import write_atomically

    out = _place(out, dataset, check=check, shard=shard, force=force, cached=cache is not None and no_cache)
    asked = read_plan(plan_file)
    _check_settings(config, asked, client, shard=shard)
    own: SiteOptions = {"key": _own_key(asked, client, key, cache)}
    say_reading(config.dataset, quiet=quiet)
    samples, columns = _data(config, asked, client, shard)
    groups = own["groups"] = _units(asked, columns, unit_column)
    own["insecure_noise_seed"] = _seed(asked, insecure_noise_seed)
    tune_allocator()
    if check:
        with progress(quiet=quiet) as report:
            engine = engine_for(config, asked, report=report)
            checked_site(asked, plan_file, client, samples, engine, groups, json=json)
        return
    with site_cache(cache, asked, client, out, off=no_cache) as kept, progress(quiet=quiet, course=ANSWER) as report:
        engine = engine_for(config, asked, report=report)
        content = cached_contribution(asked, client, samples, kept, engine=engine, report=report, **own)
    # As the server will: what it would refuse is not sent, and a cached file may have been damaged.
    made = decode_contribution(content, asked)
    if key is not None:
        check_answer(key, asked, content)
    write_atomically(out, content, private=True)
    if key is not None:
        record_answer(key, asked, content)
    raw = samples.values.nbytes if asked.privacy is None else None
    _tell(out, _sent(made, content, asked, samples), raw=raw, quiet=quiet, json=json)


def _place(out: Path | None, dataset: str | None, *, check: bool, shard: bool, force: bool, cached: bool) -> Path:
    """Where the answer goes. Raises `ConfigError` or `RunFolderError` where it cannot, or options are missing."""
    if dataset is None and not shard:
        raise ConfigError(explain("--dataset", got="none", expected="this site's data", fix="pass --dataset SOURCE"))
    if cached:
        raise ConfigError(explain("--cache", got="--no-cache too", expected="one of them", fix="leave one out"))
    if check:
        return Path("answer.safetensors") if out is None else out
    if out is None:
        fix = "pass --out NAME.safetensors, or --check to write nothing"
        raise ConfigError(explain("--out", got="none", expected="the file to write", fix=fix))
    check_new(out, force=force)
    return out


def _check_settings(config: "Config", plan: "Plan", client: str, *, shard: bool) -> None:
    """Before any data are read: the client's name, and no setting that is not a site's to choose."""
    from collabdm.client import check_client
    from collabdm.planning import check_decided, check_site_settings

    check_client(plan, client)
    if shard:
        _check_shared(config, plan)
        check_decided(config, plan)
    else:
        check_site_settings(config, plan)


def _data(config: "Config", plan: "Plan", client: str, shard: bool) -> "tuple[Samples, Mapping[str, np.ndarray]]":
    """The site's samples, labelled as the plan does, and their further columns by name."""
    from collabdm.data import load_dataset
    from collabdm.simulation.sharing import shard_of

    if shard:
        return shard_of(config, client).with_classes(plan.classes), {}
    kind, reading = plan.sample.kind, config.reading
    found = load_dataset(config.dataset, splits=("train",), modality=kind, options=reading, sample=plan.sample)
    return found.train.with_classes(plan.classes), found.columns


def _tell(out: Path, facts: dict[str, Any], *, raw: int | None, quiet: bool, json: bool) -> None:
    """What was written; `raw`: the bytes of the site's data, which are not told beside a promise of privacy."""
    from collabdm.privacy import few_text

    if json:
        print_json(facts | ({} if raw is None else {"raw_bytes": raw}) | {"file": str(out)})
        return
    shown = {**facts, "bytes": f"{facts['bytes']} ({bytes_text(facts['bytes'])})"}
    if "left_out" in facts:
        shown["left_out"] = few_text(facts["left_out"])
    shown["more than the data"] = "" if raw is None else dearer_text(facts["bytes"], raw)
    print_facts(f"contribution: {out}", shown)
    if not quiet:
        print_next("for the server's operator", f"put {out} into one folder with the other sites' files")


def _seed(plan: "Plan", seed: int | None) -> int | None:
    """Raise `ConfigError` where noise is to be repeatable that the plan does not ask for; that it is, is told."""
    if seed is None:
        return None
    if plan.privacy is None:
        got, fix = f"{seed}, and the plan asks for no noise", "leave it out"
        raise ConfigError(explain("--insecure-noise-seed", got=got, expected="a plan with plan.privacy", fix=fix))
    told = "this contribution keeps NO promise of privacy: whoever knows the seed of its noise can take it off"
    print(f"warning: {told}", file=sys.stderr)
    return seed


def _units(plan: "Plan", columns: "Mapping[str, np.ndarray]", column: str | None) -> "np.ndarray | None":
    """To whom each sample belongs, where the plan protects groups. Raises `ConfigError` where no such column is named,
    or one where there is none to protect."""
    protects = plan.privacy is not None and plan.privacy.unit == "group"
    if column is None or not protects:
        if column is not None or protects:
            got = "none, and the plan protects groups" if protects else f"{column}, and the plan protects none"
            fix = "name the column that says whose each sample is" if protects else "leave it out"
            raise ConfigError(
                explain(
                    "--unit-column",
                    got=got,
                    expected="this option where the plan protects groups, and only there",
                    fix=fix,
                )
            )
        return None
    if column not in columns:
        raise ConfigError(unknown_name("--unit-column", column, columns))
    return columns[column]


def _own_key(plan: "Plan", client: str, path: Path | None, cache: Path | None) -> "SiteKey | None":
    """The site's key, where the plan has masks. Raises `ConfigError` before any work."""
    from collabdm.privacy.masks import check_key
    from collabdm.rounds.key_use import check_answer, read_key

    key = None if path is None else read_key(path)
    if key is not None and path is not None:
        check_whose(key.client, client, path)
    check_key(plan, client, key)
    if path is not None and cache is None:
        check_answer(path, plan)
    return key


def _sent(made: "Contribution", content: bytes, plan: "Plan", samples: "Samples") -> dict[str, Any]:
    """What of the site's samples is in the contribution."""
    from collabdm.privacy import too_few
    from collabdm.privacy.claims import promise_text
    from collabdm.protocol import bytes_by_part, clipped_share

    if plan.privacy is not None:
        # How many of which class is a part of what the noise hides.
        return {
            "client": made.client,
            "promise": promise_text(plan),
            "bytes": len(content),
            "parts": bytes_by_part(content),
        }
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


def _check_shared(config: "Config", plan: "Plan") -> None:
    """Refuse settings under which other clients would share the data than the plan's, or draw other shares."""
    names, spec = tuple(clients_named(config)), config.partition
    reserves = spec.kind == "dirichlet-reserved" and spec.reserve is None
    wrong = {
        "partition.clients": (names_text(names), names_text(plan.clients), names != plan.clients),
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
