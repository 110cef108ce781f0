"""What `make release-check` calls wrong. Nothing is built or installed here."""

import importlib.util
import io
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

PLACE = Path(__file__).parents[2] / "release" / "check.py"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_check", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_kinds_of_archive_are_read(check: ModuleType, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "collabdm-1.0.0.tar.gz", "w:gz") as files:
        entry = tarfile.TarInfo("collabdm-1.0.0/src/x.py")
        entry.size = 1
        files.addfile(entry, io.BytesIO(b"1"))
    with zipfile.ZipFile(tmp_path / "collabdm-1.0.0-py3-none-any.whl", "w") as files:
        files.writestr("collabdm/x.py", "1")
    assert check.in_archive(tmp_path / "collabdm-1.0.0.tar.gz") == ["src/x.py"]
    assert check.in_archive(tmp_path / "collabdm-1.0.0-py3-none-any.whl") == ["collabdm/x.py"]


def test_what_is_missing_and_what_is_private_are_named(check: ModuleType) -> None:
    good = ["LICENSE", "src/collabdm/data/loading.py", "tests/data/x.csv"]
    assert check.faults(good, ["LICENSE"]) == []
    assert check.faults([*good, "runs/patients/metrics.json"], ["LICENSE", "SECURITY.md"]) == [
        "SECURITY.md is missing",
        "runs/patients/metrics.json must not be in it",
    ]


def test_what_a_release_needs_is_in_this_checkout(check: ModuleType) -> None:
    root = PLACE.parents[1]
    made = {"PKG-INFO"}
    assert not [name for name in check.IN_SDIST if name not in made and not (root / name).is_file()]
    assert not [name for name in check.IN_WHEEL if not (root / "src" / name).is_file()]


@pytest.mark.parametrize(
    ("compiler", "engine", "lines", "wrong"),
    [
        (True, "compiled", [], 0),
        (True, "eager", ["no compiler"], 1),
        (False, "eager", ["no compiler"], 0),
        (False, "eager", [], 1),
        (False, "eager", ["no compiler"] * 5, 1),
        (False, "compiled", [], 2),
    ],
)
def test_the_fallback_is_taken_and_told_once(
    check: ModuleType, compiler: bool, engine: str, lines: list[str], wrong: int
) -> None:
    assert len(check.wrong_fallback(compiler=compiler, engine=engine, lines=lines)) == wrong


def test_the_first_fault_ends_it_with_one_line(check: ModuleType) -> None:
    check.must([], "the wheel")
    with pytest.raises(SystemExit, match=r"^release-check: the wheel: a; b$"):
        check.must(["a", "b"], "the wheel")
