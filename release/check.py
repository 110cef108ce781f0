"""What a release must show: `make release-check`, in an environment that has `build` and `twine`.

Both archives are built and looked into, the wheel is installed into an environment of its own, and a tiny round is held
from it in an empty folder, with a C++ compiler and without one.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The checkout's tests must pass in the unpacked archive too, so what they read is there.
IN_SDIST = (
    *("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "CONTRIBUTING.md", "pyproject.toml"),
    *("Makefile", "constraints.txt", "constraints-oldest.txt", "mkdocs.yml", "docs/quickstart.md"),
    *("src/collabdm/__init__.py", "src/collabdm/kernels/convnet.cpp", "tests/conftest.py", "examples/round.py"),
    *("tests/fixtures/version_1/README.md", "release/check.py", "PKG-INFO"),
)
IN_WHEEL = ("collabdm/__init__.py", "collabdm/py.typed", "collabdm/kernels/convnet.cpp", "collabdm/kernels/vectors.h")
# What work leaves in a checkout: private runs and data above all.
NEVER = {"runs", "data", "site", "dist", "build", ".venv", ".git", ".hypothesis", ".pytest_cache", "__pycache__"}
# Enough work that `engine = auto` wants compiled kernels, and no more.
ROUND = (
    *("simulate", "--dataset", "digits", "--ipc", "1", "--clients", "2", "--device", "cpu", "--json"),
    *("--set", "plan.seeds=50", "--set", "plan.batch=128", "--set", "local.iterations=20"),
    *("--set", "evaluate.epochs=20", "--set", "evaluate.count=1"),
)
NO_COMPILER = "no working C++ compiler here (install g++)"


def main() -> None:
    """Build, look into, install and run; ends with code 1 and one line at the first thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder of the two archives, made anew")
    parser.add_argument(
        "--pip", type=shlex.split, default=[], help="words for pip, such as an index with a CPU-only torch"
    )
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    told(sys.executable, "-m", "build", "--outdir", str(given.out), str(ROOT))
    (wheel,), (source,) = given.out.glob("*.whl"), given.out.glob("*.tar.gz")
    told(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(source))
    must(faults(in_archive(source), IN_SDIST), source.name)
    must(faults(in_archive(wheel), IN_WHEEL), wheel.name)
    with tempfile.TemporaryDirectory(prefix="collabdm-release-") as folder:
        program = installed(wheel, Path(folder), given.pip)
        held(program, Path(folder))
    print(f"{wheel.name} and {source.name} are fit to be released")


def in_archive(archive: Path) -> list[str]:
    """The files of a wheel, or of a source archive without its topmost folder, as paths with slashes."""
    if archive.suffix == ".whl":
        return [name for name in zipfile.ZipFile(archive).namelist() if not name.endswith("/")]
    with tarfile.open(archive) as files:
        return [member.name.partition("/")[2] for member in files if member.isfile()]


def faults(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """One line for each file that an archive lacks, and for each that must not be published."""
    found = set(names)
    lacking = [f"{name} is missing" for name in wanted if name not in found]
    # src/collabdm/data and tests/data are code: only folders at the top hold what a run or a user left.
    private = [name for name in sorted(found) if name.split("/")[0] in NEVER or name.endswith((".pyc", ".env"))]
    return lacking + [f"{name} must not be in it" for name in private]


def installed(wheel: Path, folder: Path, words: list[str]) -> Path:
    """A new environment with the wheel and the pinned versions; the path of its command."""
    told(sys.executable, "-m", "venv", str(folder / "venv"))
    pins = ("-c", str(ROOT / "constraints.txt"))
    told(str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", *words, str(wheel), *pins)
    return folder / "venv" / "bin" / "collabdm"


def held(program: Path, folder: Path) -> None:
    """A tiny round twice: with the compiler of this machine, and with none that can be found."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    said = told(str(program), "--version", folder=folder).stdout.strip()
    must([] if said == f"collabdm {version}" else [f"--version says {said}"], "the installed command")
    # No PYTHONPATH: the wheel must not need the checkout.
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CXX", "CC")}
    (folder / "empty").mkdir()
    for name, environment in {"with": plain, "without": plain | {"PATH": str(folder / "empty")}}.items():
        done = told(str(program), *ROUND, "--out", name, folder=folder, environment=environment)
        engine = json.loads((folder / name / "metrics.json").read_text())["hardware"]["engine"]["kind"]
        lines = [line for line in done.stderr.splitlines() if NO_COMPILER in line]
        wrong = wrong_fallback(compiler=name == "with", engine=engine, lines=lines)
        must(wrong, f"the round {name} a compiler")
        print(f"a round {name} a compiler: engine {engine}; {len(lines)} line(s) on it")


def wrong_fallback(*, compiler: bool, engine: str, lines: list[str]) -> list[str]:
    """What is wrong with the engine that a round took, and with what it said of it."""
    if compiler:
        return [f"its engine is {engine}, not compiled"] if engine != "compiled" else []
    wrong = [f"its engine is {engine}, not eager"] if engine != "eager" else []
    return wrong + ([f"{len(lines)} lines say that there is no compiler, not one"] if len(lines) != 1 else [])


def must(wrong: list[str], what: str) -> None:
    """End here with one line where anything is wrong."""
    if wrong:
        raise SystemExit(f"release-check: {what}: {'; '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''}")


def told(
    *command: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command's run; where it fails, its last lines and the end."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise SystemExit(f"{last}\nrelease-check: {' '.join(command[:4])} ended with {done.returncode}")
    return done


if __name__ == "__main__":
    main()
