"""What the settings leave open and the data decide: augmentation and tiles, each told in one line."""

from collections.abc import Sequence

from collabdm.config import Config
from collabdm.data.presets import MILD, PRESETS, Preset
from collabdm.errors import ConfigError, explain
from collabdm.methods import METHODS, method_named
from collabdm.planning import augmentation_for, recipe_for, sample_for, tiles_in
from collabdm.protocol import asks_gram

__all__ = ["augmentation_text", "check_taught", "fitting_method", "fitting_methods"]


def augmentation_text(config: Config, preset: Preset) -> str:
    """Which operations the augmentation takes, and why."""
    names = ", ".join(augmentation_for(config, preset)) or "none"
    plural = sample_for(config, preset).plural
    if config.plan.augment != "auto":
        why = "as plan.augment says"
    elif preset.augment == MILD:
        why = f"mild, as nothing is known of these {plural}; for photographs set plan.augment=all"
    elif preset.name in PRESETS and config.modality == "images":
        why = f"as is usual for {preset.name}; plan.augment changes it"
    else:
        why = f"as such {plural} propose; plan.augment changes it"
    return f"augmentation: {names} ({why})"


def check_taught(config: Config) -> None:
    """Raise `ConfigError` where sets are to be judged with a teacher that the method's round does not give."""
    recipe, method = recipe_for(config), method_named(config.method)
    if recipe.asks_teacher and not (method.source == "round" and method.refined and asks_gram(config.plan.statistics)):
        names = config.plan.statistics
        sent = names if isinstance(names, str) else ",".join(names)
        got = f"{recipe.name} for {config.method} with plan.statistics={sent}"
        expected = "a set that a round with the Gram matrix refined, since its teacher is asked"
        set_it = "" if asks_gram(names) else "set plan.statistics=mean,gram and "
        fix = f"{set_it}choose collabdm or collabdm-pae, or another protocol"
        raise ConfigError(explain("evaluate.protocol", got=got, expected=expected, fix=fix))


def fitting_method(config: Config, preset: Preset) -> tuple[Config, str | None]:
    """`config`, or the same for the method without partition and expand where the samples are too small for the usual
    tiles, and the line that says so."""
    (name,), told = fitting_methods(config, (config.method,), preset)
    return config.model_copy(update={"method": name}), told


def fitting_methods(config: Config, methods: Sequence[str], preset: Preset) -> tuple[list[str], str | None]:
    """`methods` of which none needs more tiles than the samples have room for, and the line that says what was changed.

    Instead of one with partition and expand runs the one without it, unless that is among them already. Where
    `plan.tiles` is set nothing is changed: tiles that are asked for and do not fit are an error.
    """
    sample = sample_for(config, preset)
    kept, changed, dropped = list[str](), list[str](), list[str]()
    for name in methods:
        one = config.model_copy(update={"method": name})
        plain = name.removesuffix("-pae")
        if name not in METHODS or plain not in METHODS or tiles_in(one, sample) == one.tiles:
            kept.append(name)
        elif plain in (*kept, *methods):
            dropped.append(name)
        else:
            kept.append(plain)
            changed.append(f"{plain} runs instead of {name}")
    if not changed and not dropped:
        return kept, None
    left = [f"left out, as the methods without it are there: {', '.join(dropped)}"] if dropped else []
    size = "x".join(map(str, sample.shape[1:] or sample.shape))
    return kept, f"{sample.plural} of {size} are too small for partition and expand: {'; '.join([*changed, *left])}"
