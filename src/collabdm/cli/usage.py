"""What was wrong with a command's words, in one plain line: typer's own sentences are parts of no sentence of ours."""

import re
from typing import Any, Literal, cast, get_args, get_origin

import typer
from pydantic import ValidationError

from collabdm.errors import did_you_mean, explain, told

__all__ = ["UsageError", "usage_line"]

# The root of typer's usage errors has moved between its releases; this one class has always been below it.
UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])

_MOST_TOLD = 80

# By the words of the parser and by those of pydantic.
_KINDS = {"integer": "a whole number", "float": "a number such as 0.5", "boolean": "true or false"}
_KINDS |= {"int": _KINDS["integer"], "bool": _KINDS["boolean"]}


def usage_line(error: typer.BadParameter) -> str:
    """`explain` of an error that typer, or what it stands on, found in a command's words.

    Their classes have moved between releases too, so they are told apart by name and by what their messages say. A
    message of another kind is taken over, as a part of the sentence.
    """
    message = " ".join(error.format_message().split())
    kind = type(error).__name__
    if kind == "MissingParameter":
        return _missing(error)
    if kind == "NoSuchOption":
        return _no_such_option(error)
    if name := re.match(r"No such command '(.*?)'\.", message):
        return _no_such_command(error, name[1])
    if name := re.match(r"Option '(.*?)' requires", message):
        return _wrong(f"{name[1]} without a value", f"{name[1]} VALUE", f"write the value after {name[1]}")
    if name := re.match(r"Option '(.*?)' does not take a value", message):
        return _wrong(f"a value for {name[1]}", f"{name[1]} alone", "leave out the = and what follows it")
    if words := re.match(r"Got unexpected extra argument(?:s|\(s\))? ?\((.*)\)", message):
        fix = "leave that out, or put quotes around a value that has spaces in it"
        return _wrong(f"{_short(words[1])} as well, which is too many", _usage(error), fix)
    if kind == "BadParameter" and getattr(error, "param", None) is not None:
        cause = error.__cause__
        return _invalid(error, cause.errors()[0]) if isinstance(cause, ValidationError) else _bad_value(error, message)
    return _wrong(_as_part(message), f"what {_help(error)} lists", "check the spelling")


def _missing(error: typer.BadParameter) -> str:
    """An option or argument that a command cannot do without: its name, and what it is."""
    parameter = cast(Any, error.param)
    name = _name(parameter)
    shown = name if name.isupper() else f"{name} VALUE"
    meaning = re.split(r"[.;](?: |$)", getattr(parameter, "help", None) or "")[0]
    choices = _choices(parameter)
    told = f"one of {', '.join(choices)}" if choices else _as_part(meaning)
    return _wrong(f"no {name}", f"{shown}{f' ({told})' if told else ''}", f"add {shown} to the command")


def _no_such_option(error: typer.BadParameter) -> str:
    got, command = str(cast(Any, error).option_name), error.ctx and error.ctx.command
    further = getattr(command, "commands", {}).values()
    if any(got in _options(one) for one in further):
        fix = f"write {got} after the command's name"
    else:
        fix = did_you_mean(got, [*_options(command), "--help"], "choose one of those, or leave it out")
    told = f"{_short(got)}, which is no option of `{_command(error)}`"
    return _wrong(told, f"one that {_help(error)} lists", fix)


def _no_such_command(error: typer.BadParameter, got: str) -> str:
    known = [name for name in getattr(error.ctx and error.ctx.command, "commands", {}) if name]
    fix = did_you_mean(got, known, f"{_help(error)} says what each of them does")
    return _wrong(f"{_short(got)}, which is no command of `{_command(error)}`", f"one of {_listed(known)}", fix)


def _bad_value(error: typer.BadParameter, message: str) -> str:
    """A value that is none of the choices, no number, or outside a range."""
    parameter = cast(Any, error.param)
    name, choices = _name(parameter), _choices(parameter)
    if choices and (value := re.search(r""": (['"])(.*)\1 is not one of""", message)):
        fix = did_you_mean(value[2], choices, "choose one of them")
        return _wrong(f"{_short(value[2])} for {name}", f"one of {_listed(choices)}", fix)
    if value := re.search(r""": (['"])(.*)\1 is not a valid (integer|float|boolean)""", message):
        return _wrong(f"{_short(value[2])} for {name}", _KINDS[value[3]], "change the value")
    if value := re.search(r": (\S+) is not in the range (.+?)\.?$", message):
        return _wrong(f"{value[1]} for {name}", _range(value[2]), "change the value")
    cause = message.partition(": ")[2] or message
    return _wrong(f"for {name}: {_as_part(cause)}", f"a value as {_help(error)} says", "change the value")


def _invalid(error: typer.BadParameter, found: Any) -> str:
    """As `_bad_value`, of a typer that has its values checked by pydantic (since 0.29)."""
    parameter, value = cast(Any, error.param), str(found["input"])
    name, choices = _name(parameter), _choices(parameter)
    if choices and value not in choices:
        return _wrong(
            f"{_short(value)} for {name}",
            f"one of {_listed(choices)}",
            did_you_mean(value, choices, "choose one of them"),
        )
    wanted = _KINDS.get(found["type"].partition("_")[0])
    if not wanted and None not in (parameter.min, parameter.max):
        wanted = f"a number from {parameter.min} to {parameter.max}"
    return _wrong(f"{_short(value)} for {name}", wanted or told(found), "change the value")


def _wrong(got: str, expected: str, fix: str) -> str:
    return explain("command line", got=got, expected=expected, fix=fix)


def _command(error: typer.BadParameter) -> str:
    return error.ctx.command_path if error.ctx else "collabdm"


def _help(error: typer.BadParameter) -> str:
    return f"`{_command(error)} --help`"


def _usage(error: typer.BadParameter) -> str:
    """How the command is written, without typer's word for it."""
    usage = " ".join(error.ctx.get_usage().split()) if error.ctx else "collabdm [OPTIONS] COMMAND"
    return f"`{usage.removeprefix('Usage: ')}`"


def _name(parameter: Any) -> str:
    """An option's long name, or an argument's as the usage line shows it."""
    if parameter.param_type_name == "option":
        return max(parameter.opts, key=len)
    shown = getattr(parameter, "human_readable_name", None) or parameter.metavar or parameter.name.upper()
    return str(shown).strip("[].")


def _choices(parameter: Any) -> list[str]:
    if hasattr(parameter, "type"):
        return [str(getattr(one, "value", one)) for one in getattr(parameter.type, "choices", ())]
    annotation = parameter.type_descriptor.annotation
    literals = [one for one in (annotation, *get_args(annotation)) if get_origin(one) is Literal]
    return [str(value) for literal in literals for value in get_args(literal)]


def _options(command: Any) -> list[str]:
    """The long names of the options that a command's help shows."""
    seen = [one for one in getattr(command, "params", ()) if not getattr(one, "hidden", False)]
    return [name for one in seen for name in one.opts if name.startswith("--")]


def _range(told: str) -> str:
    """A range such as `x>=1` or `0<=x<=1` in words."""
    low, high = re.search(r"(\S+?)<=?x|x>=?(\S+)", told), re.search(r"x<=?(\S+)", told)
    least, most = (low[1] or low[2]) if low else None, high[1] if high else None
    if least and most:
        return f"a number from {least} to {most}"
    return f"at least {least}" if least else f"at most {most}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TOLD else f"{text[:_MOST_TOLD]}..."


def _as_part(text: str) -> str:
    """A sentence as a part of another: no capital, except of a word that has more of them, and no full stop."""
    text = text.strip().rstrip(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
