"""Contributions stored as they arrive: checked before they are kept, written whole, and known by their SHA-256.

The digests stand in a file beside the folder, in the format of `sha256sum`: `contributions.sha256` beside
`contributions/`. A stored file that was damaged since is noticed, and mended when its client sends the bytes again.
"""

import errno
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from collabdm.errors import ContributionError, DataError, explain
from collabdm.privacy.mask_openings import without_masks
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Acceptance, Contribution, Plan, acceptance, bytes_by_part, decode_contribution
from collabdm.protocol.stored import StoredContributions, in_order
from collabdm.rounds.contributing import contribution_name
from collabdm.rounds.openings import ENDING, openings_in
from collabdm.storage.files import write_atomically
from collabdm.storage.reading import regular_bytes

__all__ = [
    "Collected",
    "accept",
    "collect",
    "discard",
    "intact",
    "mended",
    "read_bounded",
    "recorded",
    "seal",
    "sites_in",
]


_GLANCE = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Collected:
    """Usable contributions, their exact bytes by part and SHA-256 by client; and why others were refused, by file.

    Under a plan with a promise of privacy they lie in memory, since what they say is opened together; others are read
    from their files again when they are looked at.
    """

    contributions: Mapping[str, Contribution]
    sizes: dict[str, dict[str, int]]
    digests: dict[str, str]
    refused: dict[str, str]

    @property
    def answers(self) -> Sequence[Contribution]:
        """The contributions in sorted order."""
        if isinstance(self.contributions, StoredContributions):
            return self.contributions.answers
        return in_order(self.contributions.values())

    @property
    def sites(self) -> set[str]:
        """The clients whose data are in them."""
        if isinstance(self.contributions, StoredContributions):
            return set(self.contributions)
        return {name for one in self.contributions.values() for name in one.stands_for}


def accept(
    plan: Plan, content: bytes, folder: Path, *, name: str, expected: Acceptance, sender: str | None = None
) -> Contribution:
    """Check the bytes, then store them in `folder` under the client's `contribution_name`, atomically.

    The same bytes again are accepted silently (a repeated answer). `name` is how messages call the sender or file;
    `sender`: the one client that they may be of, where that is known. Raises `ContributionError` where the bytes cannot
    be used, are another client's, or the client has sent others before: the first stand.
    """
    contribution = decode_contribution(content, plan, expected=expected, name=name)
    if sender is not None and contribution.stands_for != (sender,):
        got, fix = (
            f"a contribution of {', '.join(contribution.stands_for[:5])}",
            f"send what was made with --client {sender}",
        )
        raise ContributionError(explain(name, got=got, expected=f"one of {sender}", fix=fix))
    digest, target = hashlib.sha256(content).hexdigest(), folder / contribution_name(plan, contribution.client)
    known = recorded(folder)
    # A kill between the file and its record leaves a whole file without one.
    first = known.get(target.name) or (_digest_of(target) if target.exists() else digest)
    if first != digest:
        raise _second(name, contribution.client)
    others = {client: file for client, file in sites_in(plan, folder).items() if file != target.name}
    for client in contribution.stands_for:
        if client in others:
            raise _second(name, client)
    if (other := _also_of(content, folder, besides=target.name)) is not None:
        client = next((one for one in plan.clients if contribution_name(plan, one) == other), other)
        got, what = f"what client {client} has sent, to the bit", f"the own statistics of client {contribution.client}"
        fix = "ask both sites which of them made it, and the other to contribute again"
        raise ContributionError(explain(name, got=got, expected=what, fix=fix))
    if not target.exists() or _digest_of(target) != digest:
        write_atomically(target, content, private=True)
    if target.name not in known:
        _record(folder, known | {target.name: digest})
    return contribution


def collect(plan: Plan, folder: Path, *, report: Report = silent) -> Collected:
    """Read and check every `.safetensors` file of the folder; a bad one costs only itself.

    Raises `DataError` where there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(explain("contributions", got=folder, expected="a folder of files", fix="check the path"))
    expected, known = acceptance(plan), recorded(folder)
    found: dict[str, tuple[Path, str]] = {}
    there: dict[str, Contribution] = {}
    sizes, refused = dict[str, dict[str, int]](), dict[str, str]()
    stored = StoredContributions(plan.clients, lambda client: _again(plan, *found[client], expected))
    seen: dict[str, str] = {}
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".safetensors" and path.is_file())
    for number, path in enumerate(paths):
        try:
            content = read_bounded(path, expected)
            digest = hashlib.sha256(content).hexdigest()
            if known.get(path.name, digest) != digest:
                raise _damaged(path)
            contribution = decode_contribution(content, plan, expected=expected, name=path.name)
            for client in contribution.stands_for:
                if seen.setdefault(client, digest) != digest:
                    raise _second(path.name, client)
        except (ContributionError, OSError) as error:
            refused[path.name] = str(error)
            report(Event(stage="collect", done=number + 1, total=len(paths), message=f"refused {error}"))
            continue
        if plan.privacy is not None:
            there.setdefault(contribution.client, contribution)
        stored.offer(contribution)
        found.setdefault(contribution.client, (path, digest))
        sizes[contribution.client] = bytes_by_part(content)
    collected = Collected(
        contributions=there if plan.privacy is not None else stored.only(found),
        sizes=sizes,
        digests={client: digest for client, (_, digest) in found.items()},
        refused=refused,
    )
    return _opened(plan, folder, collected, report) if plan.masks is not None else collected


def _again(plan: Plan, path: Path, digest: str, expected: Acceptance) -> Contribution:
    """A contribution that was read before; raises `ContributionError` where its file is another by now."""
    try:
        content = read_bounded(path, expected)
    except OSError as error:
        raise _damaged(path, error.strerror or "no file") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise _damaged(path)
    return decode_contribution(content, plan, expected=expected, name=path.name)


def _damaged(path: Path, got: str = "bytes damaged since they were stored") -> ContributionError:
    fix = "put the client's file back, or ask for it again"
    return ContributionError(explain(path.name, got=got, expected="the same bytes", fix=fix))


def _opened(plan: Plan, folder: Path, collected: Collected, report: Report) -> Collected:
    """Without the masks of missing sites that the others' files in `folder` open; with what these are made of among the
    digests."""
    openings = openings_in(plan, folder, report=report)
    given = list(collected.contributions.values())
    found = without_masks(plan, given, openings.found.values())
    refused = {contribution_name(plan, client): why for client, why in found.refused.items()}
    refused |= {f"opening by {client}": why for client, why in found.openings.items()}
    for why in refused.values():
        report(Event(stage="collect", done=len(given), total=len(given), message=f"refused {why}"))
    kept = {one.client: one for one in found.contributions}
    return Collected(
        contributions=kept,
        sizes={client: collected.sizes[client] for client in kept},
        digests={client: collected.digests[client] for client in kept} | openings.digests,
        refused=collected.refused | openings.refused | refused,
    )


def sites_in(plan: Plan, folder: Path) -> dict[str, str]:
    """The clients whose data are in the stored contributions, and in which file: combined ones stand for several."""
    names = {contribution_name(plan, client): client for client in plan.clients}
    found = {names[file]: file for file in recorded(folder) if file in names}
    if plan.privacy is None:
        return found
    for file in list(found.values()):
        # Of a large file little is read; one that was damaged since is noticed where it is read as a whole.
        with suppress(OSError, SafetensorError, ValueError, TypeError), safe_open(folder / file, "np") as tensors:
            numbers = tensors.get_tensor("sites").tolist() if "sites" in tensors.keys() else []  # noqa: SIM118
            found |= {name: file for k, name in enumerate(plan.clients) if k in numbers}
    return found


def recorded(folder: Path) -> dict[str, str]:
    """SHA-256 in hex by file name, of the contributions stored in `folder`."""
    path = _record_of(folder)
    lines = path.read_text().splitlines() if path.exists() else []
    return {Path(name).name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def intact(plan: Plan, client: str, folder: Path, known: Mapping[str, str]) -> bool:
    """Whether the client's contribution lies in `folder` as it was stored; `known`: the `recorded` digests."""
    path = folder / contribution_name(plan, client)
    return path.name in known and path.is_file() and _digest_of(path) == known[path.name]


def mended(plan: Plan, content: bytes, folder: Path, *, client: str) -> bool:
    """Whether the bytes are those that were stored of this client and damaged since; then they are stored again."""
    known, target = recorded(folder), folder / contribution_name(plan, client)
    if known.get(target.name) != hashlib.sha256(content).hexdigest() or intact(plan, client, folder, known):
        return False
    write_atomically(target, content, private=True)
    return True


def seal(folder: Path) -> None:
    """Record the digests of the files that lie in `folder` without one."""
    known = recorded(folder)
    new = {path.name: _digest_of(path) for path in sorted(folder.glob("*.safetensors")) if path.name not in known}
    if new:
        _record(folder, known | new)


def discard(plan: Plan, client: str, folder: Path) -> None:
    """Remove a client's stored contribution and its record, and the openings it sent, where there are any."""
    name = contribution_name(plan, client)
    (folder / name).unlink(missing_ok=True)
    for opening in folder.glob(f"{plan.clients.index(client)}-*{ENDING}"):
        opening.unlink()
    known = recorded(folder)
    if known.pop(name, None) is not None:
        _record(folder, known)


def read_bounded(path: Path, expected: Acceptance) -> bytes:
    """The bytes of a file, unless it is larger than any honest contribution; raises `ContributionError`."""
    try:
        return regular_bytes(path, expected.largest)
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.EINVAL):
            raise
        fix = "ask the client to contribute again"
        most = f"a file of at most {expected.largest:,} bytes under this plan"
        raise ContributionError(explain(path.name, got=error.strerror, expected=most, fix=fix)) from None


def _also_of(content: bytes, folder: Path, *, besides: str) -> str | None:
    """The name of another stored file with the same tensors, whatever client it names; None without one."""
    own = _tensors_in(content)
    for path in folder.glob("*.safetensors"):
        if path.name == besides:
            continue
        with open(path, "rb") as file:
            file.seek(8 + int.from_bytes(file.read(8), "little"))
            # Most differ in their first numbers.
            if file.read(_GLANCE) == own[:_GLANCE] and file.read() == own[_GLANCE:]:
                return path.name
    return None


def _tensors_in(content: bytes) -> memoryview:
    return memoryview(content)[8 + int.from_bytes(content[:8], "little") :]


def _second(name: str, client: str) -> ContributionError:
    what = f"a second contribution of client {client}"
    return ContributionError(
        explain(name, got=what, expected="one a client (the first stands)", fix="remove one of them")
    )


def _digest_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.sha256")


def _record(folder: Path, digests: dict[str, str]) -> None:
    lines = [f"{digest}  {folder.name}/{name}\n" for name, digest in sorted(digests.items())]
    write_atomically(_record_of(folder), "".join(lines).encode())
