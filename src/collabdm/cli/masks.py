"""`collabdm keys`, `open-masks` and `combine`: sums of sites that nobody can read alone."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from collabdm.cli.folders import check_new
from collabdm.cli.key_files import check_whose
from collabdm.cli.options import Json, PlanFile, listed
from collabdm.cli.output import print_facts, print_json, print_next
from collabdm.errors import ConfigError, ContributionError, explain

__all__ = ["combine", "keys", "open_masks"]

ReplaceKey = Annotated[bool, Option("--force", help="Replace a key: plans that name the old one cannot be answered.")]
Replace = Annotated[bool, Option("--force", help="Replace what lies at --out.")]


def keys(
    client: Annotated[str, Option(help="This site's name, as it will stand in the plan.")],
    out: Annotated[Path, Option(help="The private key to write; the public one is beside it, FILE.pub.")],
    force: ReplaceKey = False,
    json: Json = False,
) -> None:
    """Client: make a key, with which this site will mask its sums.

    The private half stays here, readable for its owner only. Send the public half, FILE.pub, with the registration.
    """
    from collabdm.privacy.keys import encode_key, encode_public, make_keys
    from collabdm.storage.files import write_atomically

    public = out.with_name(f"{out.name}.pub")
    check_new(out, force=force)
    check_new(public, force=force)
    made = make_keys(client)
    content = encode_public(made)
    write_atomically(out, encode_key(made), private=True)
    write_atomically(public, content)
    facts = {"client": client, "key": made.public, "private": str(out), "public": str(public)}
    if json:
        print_json(facts)
        return
    print_facts(f"key of {client}: {out}", facts)
    print_next("for this site", f"send {public} to the server's operator, and keep {out} here for contribute --key")


def open_masks(
    plan_file: PlanFile,
    client: Annotated[str, Option(help="This site's name in the plan.")],
    key: Annotated[Path, Option(help="This site's private key.")],
    missing: Annotated[list[str], Option(help="A site that sent nothing, or several, a,b,c; repeatable.")],
    out: Annotated[Path, Option(help="The file to write (.opening).")],
    force: Replace = False,
    json: Json = False,
) -> None:
    """Client: open the masks between this site and missing ones, and only those, for the server of the round.

    Do so only where you have no doubt that the site sent nothing: with its masks open, its sums could be read. Its
    contribution is refused from then on.
    """
    from collabdm.cli.plan import read_plan
    from collabdm.privacy.mask_openings import encode_opening, open_masks
    from collabdm.rounds.key_use import read_key, record_opening
    from collabdm.rounds.openings import ENDING
    from collabdm.storage.files import write_atomically

    check_new(out, force=force)
    if out.suffix != ENDING:
        fix = f"--out {out.with_suffix(ENDING).name}"
        raise ConfigError(explain("--out", got=out.name, expected=f"a name that ends in {ENDING}", fix=fix))
    plan, own = read_plan(plan_file), read_key(key)
    check_whose(own.client, client, key)
    opening = open_masks(plan, own, [name for names in missing for name in listed(names)])
    record_opening(key, plan, tuple(opening.secrets))
    content = encode_opening(opening, plan)
    write_atomically(out, content, private=True)
    facts = {"client": client, "opened": list(opening.secrets), "bytes": len(content), "file": str(out)}
    if json:
        print_json(facts)
        return
    print_facts(f"opening: {out}", facts)
    print_next("for the server's operator", f"put {out.name} into the folder of the contributions, and distill again")


def combine(
    plan_file: PlanFile,
    files: Annotated[list[Path], Argument(metavar="FILES", help="Contributions of several sites.", show_default=False)],
    out: Annotated[Path, Option(help="The contribution to write (.safetensors).")],
    force: Replace = False,
    json: Json = False,
) -> None:
    """Relay: add the contributions of several sites into one, of the size of one and exact.

    It stands for all of them in the round, and can be combined again. Only sums can be added: it goes with plans that
    have plan.privacy. A relay needs no key, and where the plan has masks it can read nothing.
    """
    from collabdm.cli.plan import read_plan
    from collabdm.privacy.combining import combine
    from collabdm.protocol import acceptance, decode_contribution, encode_contribution
    from collabdm.rounds.inbox import read_bounded
    from collabdm.storage.files import write_atomically

    check_new(out, force=force)
    plan = read_plan(plan_file)
    expected, parts = acceptance(plan), []
    for path in files:
        try:
            content = read_bounded(path, expected)
        except OSError as error:
            got, fix = error.strerror or "an error", "check the path"
            raise ContributionError(explain(f"{path}", got=got, expected="a contribution", fix=fix)) from None
        parts.append(decode_contribution(content, plan, expected=expected, name=str(path)))
    made = combine(plan, parts)
    content = encode_contribution(made, plan)
    write_atomically(out, content, private=True)
    facts = {"sites": list(made.stands_for), "bytes": len(content), "file": str(out)}
    if json:
        print_json(facts)
        return
    print_facts(f"contribution of {len(made.stands_for)} sites: {out}", facts)
    print_next("for the server's operator", f"put {out.name} with the contributions, in place of its parts")
