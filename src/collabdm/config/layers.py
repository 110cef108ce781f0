"""Where settings come from: a preset, a TOML file, `--set key=value`, options. Each layer goes over those before it.

A preset is a partial tree under everything the user gives.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from collabdm.config.explaining import explained
from collabdm.config.renamed import with_new_names
from collabdm.config.server import UNBOUNDED
from collabdm.config.settings import Config
from collabdm.errors import ConfigError, explain, unknown_name
from collabdm.modalities import MODALITIES
from collabdm.storage.reading import read_text

__all__ = ["PRESETS", "config_toml", "load_config", "make_config", "setting_tree"]

_MOST_TOML = 16 * 2**20

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "ipc": 50,
        "plan": {
            "seeds": 200,
            "batch": 512,
            "min_held": 1,
            "augment": list(MODALITIES["images"].operations),
            "statistics": "mean",
        },
        "local": {"iterations": 1000, "lr": 1.0, "momentum": 0.5, "batch": 256, "reuse": False, "init": "real"},
        "server": {
            "passes": 1,
            "lr": 10.0,
            "schedule": "constant",
            "momentum": 0.5,
            "step": "per-class",
            "reach": UNBOUNDED,
        },
        "evaluate": {"protocol": "paper"},
    },
    "demo": {
        "dataset": "digits",
        "ipc": 1,
        # Public data, shared so that one client holds a single image of a class: it takes part with it.
        "plan": {"seeds": 60, "batch": 128, "min_held": 1},
        "local": {"iterations": 120},
    },
}


def make_config(*layers: Mapping[str, Any]) -> Config:
    """Merge trees, later over earlier, and validate; raises `ConfigError` naming the first bad key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, with_new_names(layer))
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise explained(error, Config) from None


def load_config(
    *,
    preset: str = "default",
    file: str | Path | None = None,
    settings: Sequence[str] = (),
    options: Mapping[str, Any] = {},
) -> Config:
    """Preset, then file, then `key=value` settings (values in TOML, or bare text), then options (dotted keys)."""
    if preset not in PRESETS:
        raise ConfigError(unknown_name("preset", preset, PRESETS))
    given = {key: value for key, value in options.items() if value is not None}
    # What one person says in one place is one layer: under an old and a new name at once it is an error.
    asked = _together(map(setting_tree, settings))
    chosen = _together(_nested(key, value) for key, value in given.items())
    return make_config(PRESETS[preset], _read(Path(file)) if file else {}, asked, chosen)


def config_toml(config: Config) -> bytes:
    """The whole tree as TOML, which `load_config` reads back to an equal `Config`.

    What the modality may have otherwise than by default is left out where it was not set: local method, rate, passes.
    """
    tree = config.model_dump(mode="json", exclude_none=True)
    if "method" not in config.local.model_fields_set:
        del tree["local"]["method"]
    for key in ("lr", "passes"):
        if key not in config.server.model_fields_set:
            del tree["server"][key]
    return tomli_w.dumps(tree).encode()


def setting_tree(text: str) -> dict[str, Any]:
    """The tree of one `key=value`; raises `ConfigError` for what is none."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(explain("--set", got=text, expected="key=value", fix="for example --set server.passes=3"))
    try:
        parsed = _parsed(f"v = {value}")["v"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    return _nested(key.strip(), parsed)


def _read(file: Path) -> dict[str, Any]:
    try:
        return _parsed(read_text(file, _MOST_TOML))
    except (OSError, ValueError, RecursionError) as error:
        got = (isinstance(error, OSError) and error.strerror) or str(error)[:200]
        if isinstance(error, tomllib.TOMLDecodeError):
            got = f"no TOML ({got})"
        raise ConfigError(
            explain(
                f"config {file}", got=got, expected="a TOML file in UTF-8", fix="check the path, and save it as UTF-8"
            )
        ) from None


def _parsed(text: str) -> dict[str, Any]:
    """TOML that could also be written again; raises `ValueError` or `RecursionError`."""
    tree = tomllib.loads(text)
    str(tree)  # raises for what is nested too deeply, and for hexadecimal numbers of thousands of digits
    return tree


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _together(trees: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for tree in trees:
        merged = _merged(merged, tree)
    return merged


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, str) and key in ("network", "features"):
            old = {"name": old}
        merged[key] = _merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return merged
