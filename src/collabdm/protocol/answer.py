"""What a client answers a plan with, as it is computed with: one contribution."""

from dataclasses import dataclass

import numpy as np

from collabdm.errors import printable
from collabdm.matching.gram import FeatureMoments
from collabdm.protocol.acceptance import fingerprint
from collabdm.protocol.plan import Plan

__all__ = ["Contribution", "summed_contribution"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contribution:
    """(L_k, S_k) of the paper, with what the server needs to weigh and check it.

    `held`: int64 [classes], the samples the client has of each class (not the number drawn).
    `statistics`: float32 [assigned seeds, held classes, rows, d], the held classes ascending; a single one in their
    place where the plan's statistic pools them. On the wire this tensor is called `means`.
    `samples`, `labels`: S_k, float32 [n, *shape] as networks see them, and int64 [n]; on the wire the samples are
    called what the plan's modality calls them (`images`).
    `fingerprint`: of the first encoder's parameters, and of the feature map's, so that a foreign derivation is noticed.
    `gram`: the second-order statistic, where the plan asks for it; with `held` as its counts.
    `sums`: where the plan makes a promise of privacy, all that is sent: int64, as `whole_sums` gives it. `held` is
    then zero, and the other parts are empty.
    `sites`: the clients, sorted, whose sums these are, where `combine` added those of several; `client` is the first.
    `pairs`: where the plan has masks, what the site says of the secret between it and each client of the plan (`tag` in
    `privacy.masks`), uint8 [clients, 16], zero for itself; several sites' are joined bit by bit (exclusive or).
    `unmasked`: the clients without a contribution whose masks were taken off the sums; such a one does not travel.
    `insecure`: the clients, sorted, whose noise follows from a number that they know, as studies have it: whoever else
    knows it can take it off, so they keep no promise.
    """

    client: str
    held: np.ndarray
    statistics: np.ndarray
    samples: np.ndarray
    labels: np.ndarray
    fingerprint: str
    gram: FeatureMoments | None = None
    sums: np.ndarray | None = None
    sites: tuple[str, ...] = ()
    pairs: np.ndarray | None = None
    unmasked: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()

    def __repr__(self) -> str:
        sites = printable(", ".join(self.stands_for)[:80])
        if self.sums is not None:
            return f"Contribution({sites}: {self.sums.size} sums under a promise of privacy)"
        held = f"{int(self.held.sum())} samples held of {len(self.classes_held)} classes"
        return (
            f"Contribution({sites}: {held}, statistics {list(self.statistics.shape)}, {len(self.labels)} samples sent)"
        )

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The clients whose data are in it, sorted."""
        return self.sites or (self.client,)

    @property
    def classes_held(self) -> np.ndarray:
        """The classes held, ascending."""
        return np.flatnonzero(self.held)


def summed_contribution(
    plan: Plan,
    client: str,
    whole: np.ndarray,
    *,
    pairs: np.ndarray | None = None,
    sites: tuple[str, ...] = (),
    insecure: tuple[str, ...] = (),
) -> Contribution:
    """The answer to a plan with a promise of privacy: `whole` is what `whole_sums` gives, masked where there are
    `pairs`."""
    return Contribution(
        client=client,
        held=np.zeros(len(plan.classes), np.int64),
        statistics=np.zeros((plan.seeds, 0, 1, 0), np.float32),
        samples=np.zeros((0, *plan.sample.shape), np.float32),
        labels=np.zeros(0, np.int64),
        fingerprint=fingerprint(plan),
        sums=whole,
        sites=sites,
        pairs=pairs,
        insecure=insecure,
    )
