"""What long work says while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "Progress", "Report", "silent"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """`done` of `total` units of a stage; `client`, `loss` and `message` where there is one."""

    stage: str
    done: int
    total: int
    client: str | None = None
    loss: float | None = None
    message: str | None = None


Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Say nothing."""


class Progress:
    """A `Report` with a bar for every stage, in a notebook as on a terminal; what is told is a line of its own.

    Every verb takes one: `simulate(config, folder, report=Progress())`. `options` are those of tqdm's bars, such as
    `file` and `disable`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._bars: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        """Show an event: in the bar of its stage, which begins anew with every client."""
        from tqdm.auto import tqdm

        if event.message:
            tqdm.write(" ".join(event.message.split()), file=self._options.get("file"))
            return
        named = event.stage if event.client is None else f"{event.stage} {event.client}"
        bar = self._bars.get(event.stage)
        if bar is None:
            bar = self._bars[event.stage] = tqdm(total=event.total, desc=named, **self._options)
        elif bar.desc != named or event.done < bar.n:
            bar.desc = named
            bar.reset(total=event.total)
        bar.total = event.total
        if event.loss is not None:
            bar.set_postfix(loss=f"{event.loss:.4g}", refresh=False)
        bar.update(event.done - bar.n)
        if event.done >= event.total:
            # The last step is shown also where it comes soon after the one before.
            bar.refresh()
