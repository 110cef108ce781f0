"""What `--help` shows, and what a shell completes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import click
from typer.core import TyperCommand, TyperGroup

from collabdm.cli.output import say
from collabdm.cli.usage import UsageError

__all__ = ["CommandScreen", "GroupScreen", "completed"]


class CommandScreen(TyperCommand):
    """A command whose help has no marks in it that are meant for another page than a terminal."""

    def get_help(self, ctx: click.Context) -> str:
        """The help as text."""
        return _without_escapes(super().get_help(ctx))

    def get_short_help_str(self, limit: int = 45) -> str:
        """What stands beside the command's name in a list: the first sentence, whole however long."""
        return _first_sentence(self.help) or super().get_short_help_str(limit)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As ever; an error says at which command it was."""
        with _errors_at(ctx):
            return super().parse_args(ctx, args)


class GroupScreen(TyperGroup):
    """A group of commands with such a help."""

    def get_help(self, ctx: click.Context) -> str:
        """The help as text."""
        return _without_escapes(super().get_help(ctx))

    def get_short_help_str(self, limit: int = 45) -> str:
        """What stands beside the group's name in a list: the first sentence, whole however long."""
        return _first_sentence(self.help) or super().get_short_help_str(limit)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As ever; an error says at which command it was, and a group alone shows its help, like the program alone."""
        if not args and self.no_args_is_help:
            say(ctx.get_help())
            ctx.exit()
        with _errors_at(ctx):
            return super().parse_args(ctx, args)


def completed(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for an option's value: those of the `names` that begin as was written.

    They are asked for only when a shell wants them, so that they may take an import.
    """

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


@contextmanager
def _errors_at(ctx: click.Context) -> Iterator[None]:
    # What parses the words does not always know for which command it does so.
    try:
        yield
    except UsageError as error:
        error.ctx = error.ctx or ctx
        raise


def _first_sentence(text: str | None) -> str:
    first = " ".join((text or "").split("\n\n")[0].split())
    return first.partition(". ")[0].rstrip(".") + "." if first else ""


def _without_escapes(text: str) -> str:
    # Where rich is installed, typer writes `\[required]`, though nothing here reads markup.
    return text.replace("\\[", "[")
