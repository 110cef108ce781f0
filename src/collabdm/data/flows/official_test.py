"""An official test file beside the training file: what it may be, and whose its flows are."""

from pathlib import Path

from collabdm.data.flows.schema import FlowSchema, StationRule
from collabdm.errors import ConfigError, explain

__all__ = ["check_test_file", "schema_of_test_file"]


def check_test_file(path: Path, test_path: Path, share: float) -> None:
    """Raise `ConfigError` where the training file is to be split as well, or is the test file itself."""
    what, expected = "--test-file", "a file of its own, all that is for testing"
    if share:
        fix = "drop --test: then all of the training file is for training"
        raise ConfigError(explain(what, got=f"also --test {share:g}", expected=expected, fix=fix))
    if path.exists() and test_path.exists() and path.samefile(test_path):
        fix = "give another file, or split this one with --test 0.2"
        raise ConfigError(explain(what, got=f"{test_path}, the training file", expected=expected, fix=fix))


def schema_of_test_file(schema: FlowSchema) -> FlowSchema:
    """Rows that are counted in the training file say nothing of another: the test file is then one station."""
    if schema.station.kind != "rows":
        return schema
    return schema.model_copy(update={"station": StationRule(names=("test file",))})
