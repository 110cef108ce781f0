"""How much noise a promise takes: the Gaussian mechanism, calibrated exactly (Balle and Wang 2018)."""

from types import ModuleType

from collabdm.errors import ConfigError, explain

__all__ = ["epsilon_of", "noise_multiplier"]


def noise_multiplier(epsilon: float, delta: float) -> float:
    """The least standard deviation of the noise, as a multiple of the length by which one unit moves the sum, that
    makes a single release (epsilon, delta)-differentially private."""
    return float(_accounting().get_sigma_gaussian(epsilon, delta))


def epsilon_of(multiplier: float, delta: float) -> float:
    """What a release with noise of this `multiplier` promises at `delta`."""
    return float(_accounting().get_epsilon_gaussian(multiplier, delta))


def _accounting() -> ModuleType:
    try:
        import dp_accounting  # here, since only plans with a promise need it
    except ImportError:
        got, fix = "dp-accounting is not installed", 'pip install "collabdm[privacy]"'
        raise ConfigError(explain("plan.privacy", got=got, expected="the extra privacy", fix=fix)) from None
    return dp_accounting
