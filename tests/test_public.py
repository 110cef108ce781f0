"""Imports run one way, read from the source: no circle, and no transport or shell below the method."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import collabdm

ROOT = Path(collabdm.__file__).parent


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imported(module: str, *, at_import: bool = False) -> set[str]:
    """Full names that a module imports anywhere, or only those that its import runs."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in statements(tree) if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            assert node.module is not None
            # `from package import module` imports the module; `from module import name` imports only `module`.
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(modules())
            names |= inner or {node.module}
    return names


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those inside functions."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child)


def reached(module: str, *, at_import: bool = False) -> set[str]:
    """The module, and everything that its imports lead to."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += imported(name, at_import=at_import) if name in modules() else []
    return seen


def within(package: str) -> list[str]:
    return [name for name in modules() if name == package or name.startswith(f"{package}.")]


def test_no_circle() -> None:
    graph = {name: imported(name) & set(modules()) for name in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("package", ["data", "protocol", "networks"])
def test_the_lower_rooms_do_not_know_the_shells(package: str) -> None:
    for name in within(f"collabdm.{package}"):
        shells = {
            "collabdm.cli",
            "collabdm.simulation.simulate",
            "collabdm.flower",
            "collabdm.client",
            "collabdm.server",
        }
        assert not {found for found in reached(name) if any(found.startswith(shell) for shell in shells)}, name


@pytest.mark.parametrize("package", ["errors", "storage.files", "data"])
def test_reading_data_needs_no_torch(package: str) -> None:
    for name in within(f"collabdm.{package}"):
        assert not [found for found in reached(name, at_import=True) if found.split(".")[0] == "torch"], name


def test_no_circle_among_rooms() -> None:
    """A folder is a room; a module of the root is one of its own. What hands names on (`collabdm`) is none."""

    def room(name: str) -> str:
        return name.split(".")[1]

    inside = [name for name in modules() if "." in name]
    graph: dict[str, set[str]] = {}
    for name in inside:
        graph.setdefault(room(name), set()).update(room(found) for found in imported(name) & set(inside))
    try:
        TopologicalSorter({name: found - {name} for name, found in graph.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import each other: {' -> '.join(error.args[1])}")


def test_the_root_holds_the_verbs_and_the_vocabulary_only() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 14


def test_functions_are_short_and_take_few_arguments() -> None:
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 < 60, f"{name}.{node.name}"
            given = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            # The parameters of a command are its options.
            command = name.startswith("collabdm.cli.")
            assert command or len([one for one in given if one not in ("self", "cls")]) <= 8, f"{name}.{node.name}"


def test_the_method_knows_no_pictures() -> None:
    """Statistics, verbs, rounds and transports handle samples: no name in their code speaks of images or pixels."""
    rooms = ("matching", "privacy", "rounds", "flower", "simulation", "server", "client", "initial_set", "training")
    for name in (name for room in rooms for name in within(f"collabdm.{room}")):
        for node in ast.walk(ast.parse(modules()[name].read_text(encoding="utf-8"))):
            words = {
                ast.Name: "id",
                ast.Attribute: "attr",
                ast.arg: "arg",
                ast.keyword: "arg",
                ast.FunctionDef: "name",
            }
            word = str(getattr(node, words.get(type(node), ""), "") or "")
            assert word == "sample_dtype" or not re.search(r"image|pixel", word), f"{name}: {word}"


def test_nothing_seeds_globally() -> None:
    forbidden = {"np.random.seed", "numpy.random.seed", "torch.manual_seed", "random.seed", "torch.seed"}
    for name, path in modules().items():
        called = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        }
        assert not called & forbidden, name


def test_every_module_says_what_is_public() -> None:
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{name} has no docstring"
        public = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        }
        listed = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        assert public <= set(*listed), f"{name} defines public names that __all__ leaves out"
